"""A GEMM's loops and micro-ops visit every multiply-accumulate once, at a safe distance."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.vta.nest import SAFE_DISTANCE, Dim, Nest, merge, plan_nest, plan_nests, split_partials


def issued(nest: Nest) -> list[tuple[int, int, int]]:
    """Indices (destination, source, weight) in the order the hardware issues them."""
    uops = nest.uops()
    return [
        tuple(
            int(uop[k]) + i * nest.outer.strides()[k] + j * nest.inner.strides()[k]
            for k in range(3)
        )
        for i in range(nest.outer.size)
        for j in range(nest.inner.size)
        for uop in uops
    ]


def wanted(dims: tuple[Dim, ...]) -> list[tuple[int, int, int]]:
    """The same set, straight from the dimensions."""
    return [
        tuple(sum(i * d.strides()[k] for i, d in zip(at, dims, strict=True)) for k in range(3))
        for at in product(*(range(dim.size) for dim in dims))
    ]


@st.composite
def convolution_dims(draw: st.DrawFn) -> tuple[Dim, ...]:
    chunk, kernel, blocks, rows, columns = (draw(st.integers(1, n)) for n in (4, 3, 4, 4, 5))
    width = columns + kernel - 1
    plane = (rows + kernel - 1) * width
    taps = kernel * kernel
    return (
        Dim(chunk, 0, plane, taps),
        Dim(kernel, 0, width, kernel),
        Dim(kernel, 0, 1, 1),
        Dim(blocks, rows * columns, 0, chunk * taps),
        Dim(rows, columns, width, 0),
        Dim(columns, 1, 1, 0),
    )


@given(dims=convolution_dims())
def test_every_product_is_issued_once_and_far_apart(dims: tuple[Dim, ...]) -> None:
    tile = prod(dim.size for dim in dims if not dim.reduces)
    split, copies = split_partials(dims, tile, SAFE_DISTANCE)
    nest = plan_nest(split, SAFE_DISTANCE)
    assert nest is not None
    found = issued(nest)
    # A copy of the tile is the tile itself once copies are added up.
    assert sorted((d % tile, s, w) for d, s, w in found) == sorted(wanted(dims))
    assert {d // tile for d, _, _ in found} == set(range(copies))
    last: dict[int, int] = {}
    for slot, (destination, _, _) in enumerate(found):
        assert slot - last.get(destination, -SAFE_DISTANCE) >= SAFE_DISTANCE
        last[destination] = slot


def test_neighbours_that_continue_each_other_become_one() -> None:
    rows, columns = Dim(4, 7, 7, 0), Dim(7, 1, 1, 0)
    assert merge([rows, columns]) == (Dim(28, 1, 1, 0),)


def test_a_product_longer_than_the_loops_leaves_the_fewest_micro_ops() -> None:
    """1x1 convolution: input blocks and the whole plane are loops, output blocks micro-ops."""
    nest = plan_nest((Dim(8, 0, 100, 1), Dim(16, 100, 0, 8), Dim(100, 1, 1, 0)), SAFE_DISTANCE)
    assert nest is not None
    assert nest.uop_count == 16
    np.testing.assert_array_equal(nest.uops()[:, 0], np.arange(16) * 100)


def test_a_single_output_is_split_into_partial_sums() -> None:
    split, copies = split_partials((Dim(64, 0, 1, 1),), 1, SAFE_DISTANCE)
    assert copies == SAFE_DISTANCE
    assert set(split) == {Dim(16, 1, 4, 4), Dim(4, 0, 1, 1)}


def test_a_product_that_cannot_be_safe_becomes_several_instructions() -> None:
    """A prime number of products of one output: no part of it is a sweep of 16."""
    dims, copies = split_partials((Dim(509, 0, 1, 1),), 1, SAFE_DISTANCE)
    assert copies == 1
    assert plan_nest(dims, SAFE_DISTANCE) is None
    nests = plan_nests(dims, SAFE_DISTANCE)
    assert [(src, wgt) for _, src, wgt in nests] == [(i, i) for i in range(509)]
    assert all(nest.issue_slots == 1 for nest, _, _ in nests)
