"""Every kernel gives numpy's numbers on every level of x86 that this machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.kernels import winograd
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.winograd import Winograd
from tests.cpu.kernels.cases import (
    Case,
    block_case,
    concat_case,
    conv_case,
    dense_case,
    elementwise_case,
    mean_case,
    pool_case,
    unblock_case,
    winograd_case,
)
from tests.cpu.kernels.levels import LEVELS, run_here
from tests.cpu.kernels.strategies import (
    convs,
    denses,
    halos,
    layouts,
    maps_like,
    pools,
    seeds,
    steps,
    winograds,
)


@st.composite
def elementwise_cases(draw: Any, lanes: int) -> Case:
    data, drawn = draw(layouts(lanes)), draw(steps)
    out = Blocked(data.batch, data.channels, data.height, data.width, lanes, draw(halos))
    return elementwise_case(data, out, drawn, draw(maps_like(out, drawn)), _rng(draw))


@st.composite
def concat_cases(draw: Any, lanes: int) -> Case:
    like = draw(layouts(lanes))
    blocks = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    parts = [
        Blocked(like.batch, lanes * count, like.height, like.width, lanes, draw(halos))
        for count in blocks
    ]
    out = Blocked(like.batch, lanes * sum(blocks), like.height, like.width, lanes, draw(halos))
    return concat_case(parts, out, _rng(draw))


def with_numbers(
    make: Callable[..., Case], described: Callable[[int], SearchStrategy[Any]]
) -> Callable[[int], SearchStrategy[Case]]:
    """Return cases of descriptions with numbers from a drawn seed."""

    @st.composite
    def cases(draw: Any, lanes: int) -> Case:
        found = draw(described(lanes))
        return make(*(found if isinstance(found, tuple) else (found,)), _rng(draw))

    return cases


def _rng(draw: Any) -> np.random.Generator:
    return np.random.default_rng(draw(seeds))


KERNELS = {
    "conv": with_numbers(conv_case, convs),
    "winograd": with_numbers(winograd_case, winograds),
    "pool": with_numbers(pool_case, pools),
    "mean": with_numbers(mean_case, layouts),
    "block": with_numbers(block_case, layouts),
    "unblock": with_numbers(unblock_case, layouts),
    "dense": with_numbers(dense_case, denses),
    "elementwise": elementwise_cases,
    "concat": concat_cases,
}
EXAMPLES = {"conv": 40, "winograd": 20, "pool": 20}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KERNELS)
def test_a_kernel_gives_numpys_numbers(kind: str, level: str) -> None:
    @settings(max_examples=EXAMPLES.get(kind, 8))
    @given(KERNELS[kind](CORES[level].lanes))
    def judge(case: Case) -> None:
        case.check(run_here(case, level))

    judge()


@pytest.mark.parametrize("level", LEVELS)
def test_weights_that_no_near_cache_holds_are_transformed_part_by_part(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shared ones, here block by block; sums go on from part to part."""
    monkeypatch.setattr(winograd, "TRANSFORMED", 1)
    lanes = CORES[level].lanes

    @settings(max_examples=8)
    @given(winograds(lanes), st.integers(1, 3 * lanes), seeds)
    def judge(described: tuple[Conv, Winograd], inputs: int, seed: int) -> None:
        conv, plan = described
        many = replace(conv, data=replace(conv.data, channels=inputs), shared=True)
        case = winograd_case(many, plan, np.random.default_rng(seed))
        case.check(run_here(case, level))

    judge()
