"""Who did what for one frame, when."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from lcp_tvm.camera.controls import Bar
from lcp_tvm.camera.result import Result
from lcp_tvm.rpc.statistics import Statistics

CAMERA = "camera"
REMEMBERED = 256
"""Frames whose times are kept, the newest: statistics come some seconds after them."""


class Timeline:
    """Joins the times of the camera's frames with the spans of the nodes.

    Nodes know a frame by a number of the cluster's. Both clocks are this machine's monotonic one,
    so a frame is the one that was handed to the cluster last before its first span began.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[float, Result]] = deque(maxlen=REMEMBERED)

    def answered(self, result: Result) -> None:
        """Take a result."""
        self._frames.append((result.answered_s - result.infer_ms / 1e3, result))

    def bars(self, statistics: Statistics) -> tuple[Bar, ...]:
        """Return the bars of the newest frame that statistics tell of; none where they do not."""
        done = {frame.number for frame in statistics.frames if not frame.reason}
        spans = [span for span in statistics.spans if span.args["frame"] in done]
        if not spans:
            return ()
        newest = max(spans, key=lambda span: span.start_us).args["frame"]
        spans = [span for span in spans if span.args["frame"] == newest]
        frames = sorted(self._frames, key=lambda pair: pair[0])
        first_s = min(span.start_us for span in spans) / 1e6
        place = bisect_right([handed_s for handed_s, _ in frames], first_s) - 1
        if place < 0:
            return ()
        handed_s, result = frames[place]
        captured_ms = result.frame.captured_s * 1e3
        prepared = Bar(CAMERA, "prepare", 0.0, handed_s * 1e3 - captured_ms)
        return prepared, *(
            Bar(span.device, span.name, span.start_us / 1e3 - captured_ms, span.duration_us / 1e3)
            for span in sorted(spans, key=lambda span: span.start_us)
        )
