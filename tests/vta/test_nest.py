"""A GEMM's loops and micro-ops visit every multiply-accumulate once, at a safe distance."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.vta.layer import Plane, Weights, Window
from lcp_tvm.vta.nest import (
    SAFE_DISTANCE,
    Limits,
    Nest,
    Work,
    choices,
    hazard_distance,
    nests_in,
    product_of,
    uop_count,
)
from lcp_tvm.vta.nest import parts as parts_in
from lcp_tvm.vta.tiling import Box, Span, reach_of, window_work

Item = tuple[int, int, int]
"""Destination, source, weight."""


def issued(nest: Nest) -> list[Item]:
    """Indices in the order the hardware issues them."""
    outer, inner = np.array(nest.outer.strides), np.array(nest.inner.strides)
    return [
        tuple(int(index) for index in uop + i * outer + j * inner)
        for i in range(nest.outer.size)
        for j in range(nest.inner.size)
        for uop in nest.uops
    ]


def nearest_repeat(products: list[Item]) -> int | None:
    """Issue slots between the nearest two writes of one destination."""
    last: dict[int, int] = {}
    found = []
    for slot, (destination, _, _) in enumerate(products):
        if destination in last:
            found.append(slot - last[destination])
        last[destination] = slot
    return min(found, default=None)


class Tile:
    """A tile of a convolution, and its products straight from the definition."""

    def __init__(self, draw: st.DrawFn) -> None:
        def pair(low: int, high: int) -> tuple[int, int]:
            return draw(st.integers(low, high)), draw(st.integers(low, high))

        self.window = Window(pair(1, 4), pair(1, 3), pair(1, 2), (*pair(0, 3), *pair(0, 3)))
        self.source = Plane(draw(st.integers(1, 3)), *pair(1, 9))
        limits = (2, 4, 4, 2)
        spans = [Span(begin, begin + size) for begin, size in (pair(0, most) for most in limits)]
        self.box = Box(*(Span(span.begin, span.end + 1) for span in spans))
        self.chunk = Span(0, self.source.channels)
        self.reach = reach_of(self.box, self.source, self.window, draw(st.booleans()))
        self.work = window_work(
            self.source, self.window, self.box, self.reach, self.chunk, Weights.DENSE
        )

    def wanted(self) -> set[Item]:
        window, box, reach = self.window, self.box, self.reach
        read = [y for strip in reach.strips for y in range(strip.begin, strip.end)]
        kernel = product(range(window.kernel[0]), range(window.kernel[1]))
        blocks, rows, columns = box.blocks.size, box.rows.size, box.columns.size
        frames = box.frames.size
        found = set()
        for ky, kx in kernel:
            for r, c in product(range(rows), range(columns)):
                y = (box.rows.begin + r) * window.stride[0] - window.padding[0]
                x = (box.columns.begin + c) * window.stride[1] - window.padding[1]
                y, x = y + ky * window.dilation[0], x + kx * window.dilation[1]
                if not (0 <= y < self.source.height and 0 <= x < self.source.width):
                    continue
                place = read.index(y) * reach.columns.size + x - reach.columns.begin
                for k, b, f in product(range(self.chunk.size), range(blocks), range(frames)):
                    tap = ky * window.kernel[1] + kx
                    taps = window.kernel[0] * window.kernel[1]
                    found.add(
                        (
                            ((b * frames + f) * rows + r) * columns + c,
                            k * reach.size + f * reach.area + place,
                            (b * self.chunk.size + k) * taps + tap,
                        )
                    )
        return found


@st.composite
def tiles(draw: st.DrawFn) -> Tile:
    return Tile(draw)


@given(tiles(), st.data())
def test_any_loops_issue_every_product_inside_the_plane_once(
    tile: Tile, data: st.DataObject
) -> None:
    if tile.work.issue_slots == 0:
        assert not tile.wanted()
        return
    loops = data.draw(st.sampled_from(list(choices(tile.work))))
    nests = nests_in(tile.work, loops)
    found = [item for nest in nests for item in issued(nest)]
    assert len(found) == tile.work.issue_slots == len(set(found))
    assert set(found) == tile.wanted()
    counts = [uop_count(part, loops) for part in parts_in(tile.work, loops)]
    assert counts == [len(nest.uops) for nest in nests]
    for nest in nests:
        assert hazard_distance(nest) == nearest_repeat(issued(nest))


LIMITS = Limits(SAFE_DISTANCE, 1 << 20, 1 << 20, 91.5, 0.5)


@given(tiles())
def test_there_is_always_a_safe_product_with_copies_where_a_tile_is_small(tile: Tile) -> None:
    size = tile.box.size
    product = product_of(tile.work, size, LIMITS)
    assert product is not None
    found = [item for nest in product.nests for item in issued(nest)]
    # A copy of the tile is the tile itself once copies are added up.
    assert {(d % size, s, w) for d, s, w in found} == tile.wanted()
    assert len(found) == tile.work.issue_slots
    assert max((d for d, _, _ in found), default=0) < size * product.copies
    for nest in product.nests:
        distance = nearest_repeat(issued(nest))
        assert distance is None or distance >= SAFE_DISTANCE


def _work(source: Plane, window: Window, box: Box) -> Work:
    reach = reach_of(box, source, window)
    return window_work(source, window, box, reach, Span(0, source.channels), Weights.DENSE)


def test_a_plane_without_padding_is_one_instruction() -> None:
    box = Box(Span(0, 2), Span(0, 8), Span(0, 8))
    product = product_of(_work(Plane(4, 10, 10), Window((3, 3)), box), box.size, LIMITS)
    assert product is not None
    (nest,) = product.nests
    assert nest.outer.size * nest.inner.size * len(nest.uops) == 2 * 64 * 4 * 9


def test_zeros_around_a_plane_are_not_multiplied() -> None:
    box = Box(Span(0, 1), Span(0, 7), Span(0, 7))
    work = _work(Plane(1, 7, 7), Window((3, 3), padding=(1, 1, 1, 1)), box)
    assert work.issue_slots == (7 + 6 + 6) ** 2


@pytest.mark.parametrize(("chunk", "copies"), [(1, 49), (16, 16), (64, 49)])
def test_a_single_output_is_accumulated_in_copies(chunk: int, copies: int) -> None:
    box = Box(Span(0, 1), Span(0, 1), Span(0, 1))
    product = product_of(_work(Plane(chunk, 7, 7), Window((7, 7)), box), 1, LIMITS)
    assert product is not None
    assert product.copies == copies


def test_a_product_that_fits_no_accumulators_is_refused() -> None:
    box = Box(Span(0, 1), Span(0, 1), Span(0, 1))
    work = _work(Plane(1, 7, 7), Window((7, 7)), box)
    assert product_of(work, 1, replace(LIMITS, acc=48)) is None
