"""Inner loops of kernels keep all in registers, and do little besides multiplying."""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.cpu_inner_loops import subjects_of
from tests.cpu.assembly import Loop

BOARDS = ("cortex-a9", "cortex-a53", "cortex-a72", "cortex-a76")

MOST = {"cortex-a9": 1.9, "cortex-a53": 1.3, "cortex-a72": 1.3, "x86-64-v3": 2.2, "x86-64-v4": 1.9}
"""Instructions for a vector of products, in what is left of a row too."""

CONVOLUTIONS = ("1x1", "3x3", "3x3 of a picture", "3x3 depthwise")
OTHERS = ("dense", "int8 dense", *(f"int8 {kind}" for kind in CONVOLUTIONS))

MOST_PER_MAC = {
    "1x1": (0.41, 0.31, 0.31, 0.31),
    "3x3": (0.38, 0.29, 0.29, 0.29),
    "3x3 of a picture": (0.51, 0.36, 0.37, 0.32),
    "3x3 depthwise": (0.45, 0.42, 0.42, 0.42),
    "Winograd 2x2": (0.42, 0.31, 0.31, 0.31),
    "Winograd 4x4": (0.44, 0.30, 0.31, 0.31),
    "dense": (1.20, 0.42, 0.54, 0.54),
    "int8 1x1": (0.44, 0.30, 0.31, 0.11),
    "int8 3x3": (0.35, 0.29, 0.29, 0.09),
    "int8 3x3 of a picture": (0.35, 0.28, 0.28, 0.18),
    "int8 3x3 depthwise": (1.25, 0.65, 0.65, 0.65),
    "int8 dense": (0.47, 0.33, 0.36, 0.15),
}
"""Instructions of the densest loop for a multiply-accumulate, by board."""


@cache
def loops_of(core: str, kind: str) -> list[Loop]:
    """Inner loops of a template's kernel, as benchmarks/cpu_inner_loops.csv has them."""
    return subjects_of(core)[kind].inner_loops(core)


def densest(core: str, kind: str) -> Loop:
    """The inner loop that does the least besides multiplying."""
    return min(loops_of(core, kind), key=lambda loop: loop.per_product)


@pytest.mark.parametrize("kind", ["1x1", "3x3"])
@pytest.mark.parametrize("core", MOST)
def test_an_inner_loop_multiplies(core: str, kind: str) -> None:
    assert max(loop.per_product for loop in loops_of(core, kind)) <= MOST[core]


@pytest.mark.parametrize("kind", MOST_PER_MAC)
@pytest.mark.parametrize("core", BOARDS)
def test_a_board_has_few_instructions_for_a_product(core: str, kind: str) -> None:
    per_mac = densest(core, kind).per_product / subjects_of(core)[kind].macs
    assert per_mac <= MOST_PER_MAC[kind][BOARDS.index(core)]


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("core", BOARDS)
def test_a_board_keeps_convolutions_off_the_stack(core: str, kind: str) -> None:
    loops = loops_of(core, kind)
    assert [loop.stack for loop in loops] == [0] * len(loops)


@pytest.mark.parametrize("outputs", ["2x2", "4x4"])
@pytest.mark.parametrize("core", BOARDS)
def test_a_board_keeps_products_of_winograd_off_the_stack(core: str, outputs: str) -> None:
    assert densest(core, f"Winograd {outputs}").stack == 0


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("core", BOARDS)
def test_a_board_spills_no_vector(core: str, kind: str) -> None:
    loops = loops_of(core, kind)
    assert [loop.spills for loop in loops] == [0] * len(loops)
