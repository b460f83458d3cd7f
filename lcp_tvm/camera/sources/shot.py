"""What all sources have in common."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture: uint8 [height, width, 3], RGB; and what is in it, where the source knows."""

    pixels: NDArray[np.uint8]
    label: str | None = None


class Source(Protocol):
    """Gives pictures, one after the other, as a camera does: no faster than they happen."""

    def read(self) -> Shot:
        """Wait for the next picture; its pixels are the caller's.

        Raises
        ------
        InputError
            There are no more: the camera is gone, say.
        """
        ...

    def close(self) -> None:
        """Let go of the camera or file."""
        ...


class Ticks:
    """The times at which a source that could be faster gives its pictures."""

    def __init__(self, per_s: float) -> None:
        self._period_s = 1 / per_s
        self._next_s = time.monotonic()

    def wait(self) -> None:
        """Wait for the next; those that were missed are left out."""
        now_s = time.monotonic()
        time.sleep(max(self._next_s - now_s, 0.0))
        self._next_s = max(self._next_s, now_s) + self._period_s
