"""What a training tells those who follow it, and how they stop it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lcp_tvm.train.curves import Point


class Watch:
    """Follows trainings; this one says nothing and never stops them."""

    def begins(
        self, stage: str, epochs: int, history: tuple[Point, ...], *, resumed: bool = False
    ) -> None:
        """Take note of a stage; ``history`` are the epochs that an earlier run finished.

        ``resumed`` says that there was an earlier run, if only of some steps.
        """

    def stepped(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Take note of step ``step`` of all ``steps`` and its losses."""

    def epoch_ended(self, point: Point) -> None:
        """Take note of an epoch."""

    def stops(self) -> bool:
        """Say whether to stop after this step."""
        return False


class TrainingStoppedError(Exception):
    """A watch stopped the training, whose state is in ``checkpoint`` (None: it is lost)."""

    def __init__(self, checkpoint: Path | None) -> None:
        super().__init__(f"training stopped; its state is in {checkpoint}")
        self.checkpoint = checkpoint
