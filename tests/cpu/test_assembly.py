"""Inner loops of convolutions keep all in registers, and do little besides multiplying."""

from __future__ import annotations

import pytest

from benchmarks.cpu_inner_loops import TARGETS, convs_of
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.kernels.conv import conv_kernel
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.assembly import Loop, assembly_of, product_loops

MOST = {"cortex-a9": 1.9, "cortex-a53": 1.3, "cortex-a72": 1.3, "x86-64-v3": 2.2, "x86-64-v4": 1.9}
"""Instructions for a vector of products, in what is left of a row too."""

MOST_OF_FEW_INPUTS = 2.1
"""The same of whole tiles, where an input serves few products."""


def loops_of(core: str, kind: str) -> list[Loop]:
    """Inner loops of a convolution of 28x28 pixels."""
    conv = convs_of(CORES[core].lanes)[kind]
    made = conv_kernel("f", conv, choose_tile(conv, CORES[core]))
    return product_loops(assembly_of(made, parse_target(TARGETS[core]).tvm_target()))


@pytest.mark.parametrize("kind", ["1x1", "3x3"])
@pytest.mark.parametrize("core", MOST)
def test_an_inner_loop_multiplies(core: str, kind: str) -> None:
    loops = loops_of(core, kind)
    assert loops
    assert [loop.stack for loop in loops] == [0] * len(loops)
    assert max(loop.per_product for loop in loops) <= MOST[core]


@pytest.mark.parametrize("kind", ["3x3 of a picture", "3x3 depthwise"])
@pytest.mark.parametrize("core", [core for core in MOST if core.startswith("cortex")])
def test_an_inner_loop_of_few_inputs_stays_in_registers(core: str, kind: str) -> None:
    loops = loops_of(core, kind)
    assert loops
    assert [loop.stack for loop in loops] == [0] * len(loops)
    assert max(loops, key=lambda loop: loop.products).per_product <= MOST_OF_FEW_INPUTS
