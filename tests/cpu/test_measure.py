"""Times of kernels: of the right ones, in their order."""

from __future__ import annotations

from dataclasses import replace

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.dot import DOTS
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.measure import Bench, ThisMachine
from lcp_tvm.cpu.target import parse_target

TARGET = parse_target("cpu")
LANES = TARGET.processor.core.lanes


def conv_of(size: int) -> Conv:
    data = Blocked(1, 2 * LANES, size, size, LANES, Halo(1, 1, 1, 1))
    return Conv(
        data, Blocked(1, 2 * LANES, size, size, LANES), (3, 3), (1, 1), (1, 1), (1, 1), 1, ()
    )


def test_kernels_of_bytes_are_measured_too() -> None:
    dot = DOTS[TARGET.processor.name]
    conv = conv_of(24)
    data = replace(conv.data, dtype=dot.dtype, lanes=dot.lanes)
    out = replace(conv.out, dtype=dot.dtype, lanes=dot.lanes)
    steps = Step("bias"), Step("shift", (9,)), Step("clip", (-128, 127))
    int8 = Int8Conv.of(replace(conv, data=data, out=out, steps=steps), dot)
    one, full = Bench(TARGET, ThisMachine()).measure(
        int8, (Int8Tile(1, 1), Int8Tile(6, 1)), seconds=0.05
    )
    assert one > full > 0


def test_a_tile_of_one_pixel_is_slower_than_one_that_fills_registers() -> None:
    one, full = Bench(TARGET, ThisMachine()).measure(
        conv_of(24), (Tile(1, 1), Tile(6, 1)), seconds=0.05
    )
    assert one > full > 0
