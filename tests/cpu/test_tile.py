"""Register tiles fit into the registers, divide the blocks, and cost what the model says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.tile import NEIGHBOURS, choose_tile, cycles, tiles_of
from tests.cpu.kernels.strategies import convs


@pytest.mark.parametrize("name", CORES)
@settings(max_examples=20)
@given(data=st.data())
def test_the_cheapest_of_the_tiles_that_fit_is_taken(name: str, data: st.DataObject) -> None:
    core = CORES[name]
    conv, _ = data.draw(convs(core.lanes))
    tiles = list(tiles_of(conv, core))
    for tile in tiles:
        assert tile.columns * tile.blocks + tile.blocks < core.registers
        assert tile.columns <= conv.out.width
        assert conv.depthwise or conv.out.blocks // conv.groups % tile.blocks == 0
    chosen = choose_tile(conv, core)
    assert cycles(conv, chosen, core) == min(cycles(conv, tile, core) for tile in tiles)


@pytest.mark.parametrize("name", [name for name, core in CORES.items() if core.broadcasts])
@pytest.mark.parametrize(("size", "kernel"), [(112, 3), (14, 3), (28, 5)])
def test_depthwise_tiles_on_x86_stay_in_registers(name: str, size: int, kernel: int) -> None:
    core, around = CORES[name], kernel // 2
    data = Blocked(1, 64, size, size, core.lanes, Halo(*[around] * 4))
    padding = around, around
    conv = Conv(data, data, (kernel, kernel), (1, 1), padding, (1, 1), data.channels, ())
    assert choose_tile(conv, core).columns <= NEIGHBOURS
