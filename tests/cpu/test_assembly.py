"""Inner loops of convolutions keep all in registers, and do little besides multiplying."""

from __future__ import annotations

import pytest

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.kernels.conv import Conv, conv_kernel
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.assembly import Loop, assembly_of, product_loops

TARGETS = {
    "cortex-a9": "arm:pynq",
    "cortex-a53": "arm:rpi3",
    "x86-64-v3": "cpu:x86-64-v3",
    "x86-64-v4": "cpu:x86-64-v4",
}
MOST = {"cortex-a9": 1.9, "cortex-a53": 1.3, "x86-64-v3": 2.2, "x86-64-v4": 1.9}
"""Instructions for a vector of products, in what is left of a row too."""


def loops_of(core: str, kernel: int) -> list[Loop]:
    """Inner loops of a convolution of 64 channels."""
    lanes, pad = CORES[core].lanes, kernel // 2
    data = Blocked(1, 64, 28, 28, lanes, Halo(pad, pad, pad, pad))
    out = Blocked(1, 64, 28, 28, lanes)
    conv = Conv(data, out, (kernel, kernel), (1, 1), (pad, pad), (1, 1), 1, ())
    made = conv_kernel("f", conv, choose_tile(conv, CORES[core]))
    return product_loops(assembly_of(made, parse_target(TARGETS[core]).tvm_target()))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("core", TARGETS)
def test_an_inner_loop_multiplies(core: str, kernel: int) -> None:
    loops = loops_of(core, kernel)
    assert loops
    assert [loop.stack for loop in loops] == [0] * len(loops)
    assert max(loop.per_product for loop in loops) <= MOST[core]
