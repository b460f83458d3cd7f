"""The register tile of a quantised convolution: a model of the core's cycles chooses it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.dot import QUAD
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.tile import LOOP

MOST_BLOCKS = 4
SPARE = 3
"""Registers for inputs, products and constants, for each vector that inputs are spread to."""

WRITTEN_OUT = 9
"""Steps, at most, that LLVM writes out."""

SEEN = 0.25
"""Of the cycles of loads: what products do not hide."""

EPILOGUE = 8
"""Operations on a vector of sums: bias, shift, bounds, bytes."""


def choose_int8_tile(conv: Int8Conv, core: Core) -> Int8Tile:
    """Return the tile of the fewest modelled cycles."""
    tiles = int8_tiles_of(conv, core)
    return min(tiles, key=lambda tile: (int8_cycles(conv, tile, core), tile.columns))


def int8_tiles_of(conv: Int8Conv, core: Core) -> Iterator[Int8Tile]:
    """Return all tiles whose sums and inputs stay in registers."""
    dot = conv.dot
    spare = SPARE * dot.vectors if core.broadcasts else SPARE
    if conv.depthwise:
        # Inputs of neighbours are shared: a row of them stays in registers too.
        most = max(1, (core.registers - spare - conv.kernel[1]) // 2)
        yield from (Int8Tile(columns, 1) for columns in range(1, min(most, conv.out.width) + 1))
        return
    for blocks in range(1, MOST_BLOCKS + 1):
        if conv.out.blocks // conv.groups % blocks:
            continue
        for columns in range(1, conv.out.width + 1):
            kept = 0 if core.broadcasts else _inputs(conv, columns) * dot.vectors
            if dot.instructions == 1 and conv.sums == QUAD:
                # LLVM writes out the steps of a picture and keeps their weights from tile to tile.
                kept += _steps_written_out(conv) * blocks + SPARE
            fits = columns * blocks + blocks * dot.vectors + kept + spare <= core.registers
            if fits or columns == blocks == 1:  # there must be one, if it spills
                yield Int8Tile(columns, blocks)


def _steps_written_out(conv: Int8Conv) -> int:
    """Return how many steps of a picture LLVM writes out: all of few, or else a row's."""
    taps = math.prod(conv.kernel)
    return taps if taps <= WRITTEN_OUT else conv.kernel[1]


def _inputs(conv: Int8Conv, columns: int) -> int:
    """Return how many pixels a row of the kernel reads: LLVM keeps them in registers on ARM."""
    width = conv.kernel[1]
    return min(columns * width, (columns - 1) * conv.strides[1] + width)


def int8_cycles(conv: Int8Conv, tile: Int8Tile, core: Core) -> float:
    """Return the modelled cycles of one row of all blocks."""
    dot = conv.dot
    sums, taps = tile.columns * tile.blocks, conv.kernel[0] * conv.kernel[1]
    if conv.depthwise:
        steps, products, loads = taps, sums, 2.0 * sums
    else:
        steps, products = taps * conv.sums // QUAD, sums * dot.instructions
        inputs = tile.columns if core.broadcasts else _inputs(conv, tile.columns) / conv.kernel[1]
        loads = (inputs + tile.blocks) * dot.vectors
    reading = loads / core.loads
    step = max(products / core.products, reading, core.latency) + SEEN * reading + 1
    operands = sum(one.kind == "add" for one in conv.steps)
    epilogue = sums * (EPILOGUE + 2 * operands) / core.products
    tiles = -(-conv.out.width // tile.columns) * conv.out.blocks / tile.blocks
    return tiles * (steps * step + epilogue + core.latency + LOOP)
