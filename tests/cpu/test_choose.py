"""Which convolutions are worth Winograd."""

from __future__ import annotations

import pytest

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.choose import choose_conv
from lcp_tvm.cpu.core import CORES, Core
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.winograd import Winograd

AROUND = Halo(1, 1, 1, 1)


def conv_of(core: Core, channels: int, size: int, stride: int = 1, groups: int = 1) -> Conv:
    data = Blocked(1, channels, size, size, core.lanes, AROUND)
    out = Blocked(1, channels, size // stride, size // stride, core.lanes)
    return Conv(data, out, (3, 3), (stride, stride), (1, 1), (1, 1), groups, ())


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_large_maps_of_many_channels_are_computed_in_tiles_of_4(core: Core) -> None:
    way = choose_conv(conv_of(core, 64, 56), core)
    assert isinstance(way, Winograd)
    assert way.outputs == 4


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_few_pixels_of_many_channels_do_not_earn_weights_of_four_times_the_size(core: Core) -> None:
    way = choose_conv(conv_of(core, 512, 7), core)
    assert isinstance(way, Tile) or way.outputs == 2


@pytest.mark.parametrize(("stride", "groups"), [(2, 1), (1, 64)])
def test_strides_and_groups_are_computed_directly(stride: int, groups: int) -> None:
    core = CORES["x86-64-v4"]
    assert isinstance(choose_conv(conv_of(core, 64, 56, stride, groups), core), Tile)


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_plan_keeps_its_sums_in_registers_and_its_chunk_is_whole_tiles(core: Core) -> None:
    way = choose_conv(conv_of(core, 128, 28), core)
    assert isinstance(way, Winograd)
    assert way.tile.blocks * (way.tile.columns + 1) < core.registers
    assert way.chunk % way.tile.columns == 0
    assert conv_of(core, 128, 28).out.blocks % way.tile.blocks == 0
