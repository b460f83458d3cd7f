"""What the network says of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.answers import Guess
from lcp_tvm.camera.frame import Frame
from lcp_tvm.detections import Detection


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A frame and its answer.

    Attributes
    ----------
    split : the name of the split that computed it.
    guesses : of a classifier, the best first; empty for a detector.
    detections : of a detector, the best first; empty for a classifier.
    infer_ms : from when the cluster took the input until it had the outputs.
    answered_s : when the outputs had been read, by ``time.monotonic``.
    seen : what the network saw of the frame (`lcp_tvm.pictures.seen_box`).
    """

    frame: Frame
    split: str
    guesses: tuple[Guess, ...]
    detections: tuple[Detection, ...]
    infer_ms: float
    answered_s: float
    seen: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    @property
    def latency_ms(self) -> float:
        """From the capture to the answer."""
        return (self.answered_s - self.frame.captured_s) * 1e3
