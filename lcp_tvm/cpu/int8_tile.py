"""The register tile of a quantised convolution: a model of the core's cycles chooses it."""

from __future__ import annotations

from collections.abc import Iterator

from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.dot import QUAD, Dot
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.tile import LOOP, MOST_BLOCKS

SPARE = 3
"""Registers for inputs, products and constants, for each vector that inputs are spread to."""

EPILOGUE = 8
"""Operations on a vector of sums: bias, shift, bounds, bytes."""


def choose_int8_tile(conv: Conv, core: Core, dot: Dot) -> Tile:
    """Return the tile of the fewest modelled cycles."""
    tiles = _tiles_of(conv, core, dot)
    return min(tiles, key=lambda tile: (_cycles(conv, tile, core, dot), tile.columns))


def _tiles_of(conv: Conv, core: Core, dot: Dot) -> Iterator[Tile]:
    """Return all tiles whose sums and inputs stay in registers."""
    spare = SPARE * dot.vectors
    if conv.depthwise:
        # Inputs of neighbours are shared: a row of them stays in registers too.
        most = max(1, (core.registers - spare - conv.kernel[1]) // 2)
        yield from (Tile(columns, 1) for columns in range(1, min(most, conv.out.width) + 1))
        return
    for blocks in range(1, MOST_BLOCKS + 1):
        if conv.out.blocks // conv.groups % blocks:
            continue
        most = (core.registers - spare - blocks) // blocks
        yield from (Tile(columns, blocks) for columns in range(1, min(most, conv.out.width) + 1))


def _cycles(conv: Conv, tile: Tile, core: Core, dot: Dot) -> float:
    """Return the modelled cycles of one row of all blocks."""
    sums, taps = tile.columns * tile.blocks, conv.kernel[0] * conv.kernel[1]
    if conv.depthwise:
        steps, products, loads = taps, sums, 2 * sums
    else:
        steps, products = taps * conv.sums // QUAD, sums * dot.instructions
        loads = tile.columns + tile.blocks * dot.vectors
    step = max(products / core.products, loads / core.loads, core.latency) + 1
    operands = sum(one.kind == "add" for one in conv.steps)
    epilogue = sums * (EPILOGUE + 2 * operands) / core.products
    tiles = -(-conv.out.width // tile.columns) * conv.out.blocks / tile.blocks
    return tiles * (steps * step + epilogue + core.latency + LOOP)
