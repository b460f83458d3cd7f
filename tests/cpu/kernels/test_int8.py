"""Every kernel of quantised maps gives numpy's integers on every level of x86 there is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.dot import DOTS, QUAD, Dot
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.pool import Pool
from tests.cpu.kernels.int8_cases import (
    Int8Case,
    Numbers,
    block_case,
    concat_case,
    conv_case,
    dense_case,
    elementwise_case,
    pool_case,
    quantise_case,
    sum_case,
    unblock_case,
)
from tests.cpu.kernels.levels import LEVELS, VNNI, target_of
from tests.cpu.kernels.strategies import convs, denses, halos, layouts, maps_like, pools, seeds

NARROW = Step("clip", (-128, 127))
MIDDLE = (
    Step("add", (0,)),
    Step("add", (11,)),
    Step("multiply", (3,)),
    Step("shift", (7,)),
    Step("shift", (-2,)),
    Step("leaky_relu", (3, 16, 5)),
    Step("clip", (0, 81)),
)

numbers = st.builds(
    lambda seed, extreme: Numbers(np.random.default_rng(seed), extreme), seeds, st.booleans()
)
middles = st.lists(st.sampled_from(MIDDLE), max_size=3).map(tuple)


def as_bytes(layout: Blocked, dot: Dot) -> Blocked:
    return replace(layout, dtype=dot.dtype, lanes=max(layout.lanes, QUAD))


@st.composite
def conv_cases(draw: Any, dot: Dot) -> Int8Case:
    found: tuple[Conv, Tile] = draw(convs(dot.lanes))
    conv, tile = found
    steps = (Step("bias"), *draw(middles), NARROW)
    out = as_bytes(conv.out, dot)
    conv = replace(
        conv, data=as_bytes(conv.data, dot), out=out, steps=steps, maps=draw(maps_like(out, steps))
    )
    maps = tuple(as_bytes(one, dot) for one in conv.maps)
    int8 = Int8Conv.of(replace(conv, maps=maps), dot)
    return conv_case(int8, Int8Tile(tile.columns, tile.blocks), draw(numbers))


@st.composite
def dense_cases(draw: Any, dot: Dot) -> Int8Case:
    dense: Dense = draw(denses(dot.lanes))
    steps = (Step("bias"), Step("shift", (9,)), NARROW)
    return dense_case(replace(dense, steps=steps), dot, draw(numbers))


@st.composite
def elementwise_cases(draw: Any, dot: Dot) -> Int8Case:
    data, steps = as_bytes(draw(layouts(dot.lanes)), dot), (*draw(middles), NARROW)
    out = replace(data, halo=draw(halos))
    maps = tuple(as_bytes(one, dot) for one in draw(maps_like(out, steps)))
    return elementwise_case(data, out, steps, maps, draw(numbers))


@st.composite
def sum_cases(draw: Any, dot: Dot) -> Int8Case:
    data = as_bytes(draw(layouts(dot.lanes)), dot)
    out = replace(data, height=1, width=1, halo=draw(halos))
    steps = (Step("multiply", (97,)), Step("bias"), Step("shift", (13,)), NARROW)
    return sum_case(data, out, steps, draw(numbers))


@st.composite
def pool_cases(draw: Any, dot: Dot) -> Int8Case:
    pool: Pool = draw(pools(dot.lanes))
    pool = replace(pool, data=as_bytes(pool.data, dot), out=as_bytes(pool.out, dot), kind="max")
    return pool_case(pool, draw(numbers))


@st.composite
def concat_cases(draw: Any, dot: Dot) -> Int8Case:
    like = as_bytes(draw(layouts(dot.lanes)), dot)
    counts = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    parts = [replace(like, channels=count * dot.lanes, halo=draw(halos)) for count in counts]
    out = replace(like, channels=sum(counts) * dot.lanes, halo=draw(halos))
    return concat_case(parts, out, draw(numbers))


@st.composite
def quantise_cases(draw: Any, dot: Dot) -> Int8Case:
    return quantise_case(as_bytes(draw(layouts(QUAD)), dot), dot.lanes, draw(numbers))


KERNELS: dict[str, Callable[[Dot], SearchStrategy[Int8Case]]] = {
    "conv": conv_cases,
    "dense": dense_cases,
    "elementwise": elementwise_cases,
    "sum": sum_cases,
    "pool": pool_cases,
    "concat": concat_cases,
    "block": lambda dot: st.builds(
        lambda layout, drawn: block_case(as_bytes(layout, dot), drawn), layouts(dot.lanes), numbers
    ),
    "unblock": lambda dot: st.builds(
        lambda layout, drawn: unblock_case(as_bytes(layout, dot), drawn),
        layouts(dot.lanes),
        numbers,
    ),
    "quantise": quantise_cases,
}
EXAMPLES = {"conv": 15}


@pytest.mark.parametrize("level", [*LEVELS, VNNI])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_kernel_gives_numpys_integers(kind: str, level: str) -> None:
    target = target_of(level)

    @settings(max_examples=EXAMPLES.get(kind, 3))
    @given(KERNELS[kind](DOTS[level]))
    def judge(case: Int8Case) -> None:
        compiled = tvm.compile(tvm.IRModule({"tested": case.make("tested")}), target=target)
        result = tvm.runtime.tensor(case.empty())
        compiled["tested"](*map(tvm.runtime.tensor, case.arguments), result)
        case.check(result.numpy())

    judge()
