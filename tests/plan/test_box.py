"""Boxes, held to the sets of their elements."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.box import (
    Box,
    box_shape,
    box_size,
    box_text,
    cells,
    contains,
    full_box,
    hull,
    intersect,
    is_empty,
    overlaps,
    relative,
    uncovered,
)
from lcp_tvm.plan.box_tree import box_tree, find_gap
from tests.plan.random_plans import partitions

SIDES = st.tuples(st.integers(0, 5), st.integers(0, 5))
BOXES = st.tuples(SIDES, SIDES)
SPACE = ((0, 5), (0, 5))


def elements(box: Box) -> set[tuple[int, ...]]:
    return set(product(*(range(begin, end) for begin, end in box)))


def test_the_box_of_a_whole_tensor() -> None:
    box = full_box((1, 3, 8))
    assert box == ((0, 1), (0, 3), (0, 8))
    assert box_shape(box) == (1, 3, 8)
    assert box_size(box) == 24
    assert box_text(box) == "[0:1, 0:3, 0:8]"


def test_a_scalar_has_one_element() -> None:
    assert box_size(()) == 1
    assert not is_empty(())
    assert contains((), ())
    assert find_gap((), [()]) is None
    assert find_gap((), []) == ()


@given(BOXES, BOXES)
def test_two_boxes_are_as_their_elements(a: Box, b: Box) -> None:
    assert box_size(a) == len(elements(a))
    assert is_empty(a) == (not elements(a))
    assert elements(intersect(a, b)) == elements(a) & elements(b)
    assert overlaps(a, b) == bool(elements(a) & elements(b))
    assert contains(a, b) == (elements(a) >= elements(b))
    assert elements(hull([a, b])) >= elements(a) | elements(b)


@given(BOXES, BOXES)
def test_a_relative_box_has_the_same_shape_and_its_own_origin(box: Box, origin: Box) -> None:
    moved = relative(box, origin)
    assert box_shape(moved) == box_shape(box)
    assert relative(origin, origin) == full_box(box_shape(origin))


@given(st.lists(BOXES, max_size=4))
def test_cells_lie_inside_or_outside_of_every_border(borders: list[Box]) -> None:
    parts = list(cells(SPACE, borders))
    assert sum(map(box_size, parts)) == box_size(SPACE)
    for part, border in product(parts, borders):
        assert contains(border, part) or not overlaps(border, part)


@given(st.lists(BOXES, max_size=4))
def test_uncovered_is_the_hull_of_what_is_left(covers: list[Box]) -> None:
    left = elements(SPACE) - {at for cover in covers for at in elements(cover)}
    found = uncovered(SPACE, covers)
    if not left:
        assert found is None
    else:
        assert found == hull([tuple((at, at + 1) for at in point) for point in left])


@given(st.lists(BOXES, min_size=1, max_size=40), BOXES)
def test_a_tree_finds_what_looking_at_every_box_finds(boxes: list[Box], wanted: Box) -> None:
    assert box_tree(boxes).find(wanted) == [
        number for number, box in enumerate(boxes) if overlaps(wanted, box)
    ]


@settings(max_examples=50)
@given(partitions(((0, 6), (2, 5), (0, 1), (0, 4))), st.data())
def test_a_gap_is_found_where_a_part_is_missing(parts: list[Box], data: st.DataObject) -> None:
    whole = hull(parts)
    assert find_gap(whole, parts) is None
    missing = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
    gap = find_gap(whole, parts)
    assert gap is not None
    assert not is_empty(gap)
    assert contains(missing, gap)
