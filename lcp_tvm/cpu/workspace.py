"""Where the maps of a call lie in its memory: those that are there at the same time apart.

    time  0    1    2    3           bytes
    a     ####----                    0 ..  5
    b          ####----          =>   5 ..  8
    c               ####----          0 ..  4

Source: Y. Pisarchyk, J. Lee, Efficient Memory Management for Deep Neural Net Inference, 2020:
the largest first, or in order of time where that takes less, each in the smallest gap it fits in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Maps begin at multiples of this, as generated code expects."""


@dataclass(frozen=True, slots=True)
class Life:
    """When a map is there, from the step that makes it to the last that reads it, and its bytes."""

    begin: int
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class Room:
    """Where maps begin, in bytes, and how many bytes there are."""

    begins: tuple[int, ...]
    size: int


def lay_out(lives: Sequence[Life]) -> Room:
    """Return places for maps, in their order."""
    numbers = range(len(lives))
    orders = (
        sorted(numbers, key=lambda number: -lives[number].size),
        sorted(numbers, key=lambda number: lives[number].begin),
    )
    return min((_in_order(lives, order) for order in orders), key=lambda room: room.size)


def _in_order(lives: Sequence[Life], order: Sequence[int]) -> Room:
    """Place maps one by one beside those that are placed."""
    begins: dict[int, int] = {}
    for number in order:
        life = lives[number]
        taken = sorted(
            (begin, begin + lives[other].size)
            for other, begin in begins.items()
            if lives[other].begin <= life.end and life.begin <= lives[other].end
        )
        begins[number] = _place(taken, life.size)
    size = max((begin + lives[number].size for number, begin in begins.items()), default=0)
    return Room(tuple(begins[number] for number in range(len(lives))), _aligned(size))


def _place(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Return the begin of the smallest gap of at least ``size`` bytes, else of what is free."""
    gaps = []
    free = 0
    for begin, end in taken:
        if begin - free >= size:
            gaps.append((begin - free, free))
        free = max(free, _aligned(end))
    return min(gaps)[1] if gaps else free


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
