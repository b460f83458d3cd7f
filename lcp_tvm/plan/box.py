"""Boxes: half-open ranges of indices, one per dimension of a tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from math import prod

Range = tuple[int, int]
Box = tuple[Range, ...]
"""``((begin, end), ...)``, end excluded; empty when any end is not above its begin."""


def full_box(shape: Iterable[int]) -> Box:
    """Return the box of a whole tensor."""
    return tuple((0, size) for size in shape)


def box_shape(box: Box) -> tuple[int, ...]:
    """Return the sizes along every dimension."""
    return tuple(end - begin for begin, end in box)


def box_size(box: Box) -> int:
    """Return the number of elements, 0 for an empty box."""
    return prod(max(end - begin, 0) for begin, end in box)


def box_text(box: Box) -> str:
    """Return a box as Python writes slices: ``[0:1, 0:3, 4:8]``."""
    return f"[{', '.join(f'{begin}:{end}' for begin, end in box)}]"


def is_empty(box: Box) -> bool:
    """Whether the box holds no element; a box of no dimensions holds one."""
    return any(end <= begin for begin, end in box)


def intersect(a: Box, b: Box) -> Box:
    """Return what two boxes share; it may be empty."""
    return tuple((max(p, r), min(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes share an element."""
    return all(p < q and p < s and r < q and r < s for (p, q), (r, s) in zip(a, b, strict=True))


def contains(outer: Box, inner: Box) -> bool:
    """Whether every element of ``inner`` is in ``outer``."""
    return is_empty(inner) or all(
        p <= r and s <= q for (p, q), (r, s) in zip(outer, inner, strict=True)
    )


def hull(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around some boxes, of which one at least is given."""
    first, *others = boxes
    ranges = list(first)
    for box in others:
        ranges = [(min(p, r), max(q, s)) for (p, q), (r, s) in zip(ranges, box, strict=True)]
    return tuple(ranges)


def relative(box: Box, origin: Box) -> Box:
    """Return ``box`` in the coordinates of ``origin``, whose first element is at 0."""
    return tuple((p - o, q - o) for (p, q), (o, _) in zip(box, origin, strict=True))


def cells(box: Box, borders: Iterable[Box]) -> Iterator[Box]:
    """Cut a box along the sides of others: no side of them runs through a cell."""
    cuts: list[list[int]] = [[p, q] for p, q in box]
    for border in borders:
        for (low, high), (p, q), line in zip(box, border, cuts, strict=True):
            line.extend(at for at in (p, q) if low < at < high)
    ranges = []
    for line in cuts:
        points = sorted(set(line))
        ranges.append(list(pairwise(points)))
    yield from product(*ranges)


def uncovered(box: Box, covers: list[Box]) -> Box | None:
    """Return the smallest box around what no cover holds; None when nothing is left."""
    near = [cover for cover in covers if overlaps(box, cover)]
    left = [cell for cell in cells(box, near) if not any(contains(cover, cell) for cover in near)]
    return hull(left) if left else None
