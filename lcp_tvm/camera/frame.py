"""A frame of a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture that a source has taken.

    Attributes
    ----------
    number : counted from 0 by its source.
    captured_s : when it was taken, by ``time.monotonic``.
    pixels : uint8 [height, width, 3], RGB.
    label : what is in it, where the source knows.
    """

    number: int
    captured_s: float
    pixels: NDArray[np.uint8]
    label: str | None = None
