"""Questions about many boxes at once, answered without looking at every pair of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcp_tvm.plan.box import Box, box_size, hull, intersect, is_empty, overlaps

_LEAF = 4


@dataclass(frozen=True, slots=True)
class BoxTree:
    """Boxes by place: halves of halves, each with the box around it.

    Attributes
    ----------
    around : the smallest box around all that is below.
    leaves : boxes and their numbers, where there are few; else ``halves`` has them.
    """

    around: Box
    leaves: tuple[tuple[Box, int], ...] = ()
    halves: tuple[BoxTree, ...] = ()

    def find(self, box: Box) -> list[int]:
        """Return the numbers of the boxes that share an element with ``box``, ascending."""
        found, todo = [], [self]
        while todo:
            tree = todo.pop()
            if overlaps(box, tree.around):
                found += [number for leaf, number in tree.leaves if overlaps(box, leaf)]
                todo += tree.halves
        return sorted(found)


def box_tree(boxes: Sequence[Box]) -> BoxTree:
    """Return the tree of some boxes, of which one at least is given; numbers begin at 0."""
    return _tree([(box, number) for number, box in enumerate(boxes)])


def _tree(items: list[tuple[Box, int]]) -> BoxTree:
    if len(items) <= _LEAF:
        return BoxTree(hull(box for box, _ in items), leaves=tuple(items))
    centres = [[sum(box[axis]) for box, _ in items] for axis in range(len(items[0][0]))]
    spreads = [max(along) - min(along) for along in centres]
    if spreads:
        axis = spreads.index(max(spreads))
        items.sort(key=lambda item: sum(item[0][axis]))
    middle = len(items) // 2
    halves = (_tree(items[:middle]), _tree(items[middle:]))
    return BoxTree(hull(half.around for half in halves), halves=halves)


def find_gap(box: Box, covers: Sequence[Box]) -> Box | None:
    """Return some part of ``box`` that no cover holds; None when there is none.

    ``covers`` share no elements with each other.
    """
    near = [part for part in (intersect(box, cover) for cover in covers) if not is_empty(part)]
    if not near:
        return box
    if sum(map(box_size, near)) == box_size(box):
        return None
    first, second = _cut(box, near)
    return find_gap(first, near) or find_gap(second, near)


def _cut(box: Box, parts: Sequence[Box]) -> tuple[Box, Box]:
    """Cut a box where sides of its parts lie, through the middle of the most."""
    sides = [
        sorted({at for part in parts for at in part[axis]} - {*limits})
        for axis, limits in enumerate(box)
    ]
    axis = max(range(len(box)), key=lambda axis: len(sides[axis]))
    at = sides[axis][len(sides[axis]) // 2]
    (begin, end), before, after = box[axis], box[:axis], box[axis + 1 :]
    return (*before, (begin, at), *after), (*before, (at, end), *after)
