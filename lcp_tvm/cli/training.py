"""A training as a user follows it: a bar, a line for each epoch, curves, Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType

from lcp_tvm.cli.output import ProgressBar
from lcp_tvm.train.curves import Point, plot_curves, write_curves
from lcp_tvm.train.watch import Watch

CSV, PNG = "curves.csv", "curves.png"


class Follow(Watch):
    """Shows a training, keeps its curves in ``folder``, and stops it after the first Ctrl-C.

    A second Ctrl-C does not wait for the step under way.
    """

    def __init__(self, progress: ProgressBar, folder: Path) -> None:
        self._progress, self._folder = progress, folder
        self._points: list[Point] = []
        self._epochs = 0
        self._interrupted = False

    def __enter__(self) -> Follow:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            signal.default_int_handler(number, frame)
        self._interrupted = True

    def begins(
        self, stage: str, epochs: int, history: tuple[Point, ...], *, resumed: bool = False
    ) -> None:
        self._epochs = epochs
        self._points += history
        if len(history) == epochs:
            self._progress.say(f"{stage}: trained already, {_test(history[-1])}")
        elif resumed:
            self._progress.say(
                f"{stage}: resuming at epoch {len(history) + 1} of {epochs}; --restart begins anew"
            )

    def stepped(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        epoch = min(self._epochs, 1 + (step - 1) * self._epochs // steps)
        self._progress(f"{stage} {epoch}/{self._epochs}", step / steps)

    def epoch_ended(self, point: Point) -> None:
        self._points.append(point)
        self._progress.say(
            f"{point.stage}: epoch {point.epoch} of {self._epochs}, loss {point.loss:.4f}, "
            f"{_test(point)}, {point.seconds:.1f} s"
        )
        write_curves(self._points, self._folder / CSV)

    def stops(self) -> bool:
        return self._interrupted

    def draw(self) -> Path:
        """Write both files of curves; the picture's path."""
        write_curves(self._points, self._folder / CSV)
        plot_curves(self._points, self._folder / PNG)
        return self._folder / PNG


def _test(point: Point) -> str:
    return f"test accuracy {point.test_accuracy:.2f} %"
