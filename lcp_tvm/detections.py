"""What a detector finds in a picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """A box and what is in it.

    Attributes
    ----------
    index : of the class.
    score : from 0 to 1.
    box : left, top, right, bottom, as fractions of the picture's width and height.
    """

    index: int
    label: str
    score: float
    box: tuple[float, float, float, float]
