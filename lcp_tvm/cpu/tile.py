"""The register tile of a convolution: a model of the core's cycles chooses it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.kernels import by_lane
from lcp_tvm.cpu.kernels.conv import Conv, Tile

MOST_BLOCKS = 2
SPARE = 5
"""Registers for inputs on their way; with fewer, LLVM spills."""

UNROLLED = 5
"""Columns of a kernel, at most, for which LLVM writes a loop of one channel out."""

WRITTEN_OUT = 60
"""Products of a channel, at most, for which LLVM writes out loops of ARMv7's vmla."""

KEPT = 9
"""Weights of a channel, at most, that LLVM keeps from tile to tile where it writes loops out."""

NEIGHBOURS = 8
"""Pixels of a depthwise tile, at most, that LLVM keeps in registers on x86, inputs included."""

READ_AGAIN = 3
"""Loads for a product of wider ones: they took up to 1.6 times as long."""

LOOP = 10
"""Cycles to begin a tile: its addresses, and branches that are not foreseen."""


def choose_tile(conv: Conv, core: Core) -> Tile:
    """Return the tile of the fewest modelled cycles."""
    return min(tiles_of(conv, core), key=lambda tile: (cycles(conv, tile, core), tile.columns))


def tiles_of(conv: Conv, core: Core) -> Iterator[Tile]:
    """Return all tiles whose sums, weights and input stay in registers."""
    per_group = 1 if conv.depthwise else conv.out.blocks // conv.groups
    for blocks in range(1, 2 if conv.depthwise else MOST_BLOCKS + 1):
        if per_group % blocks:
            continue
        for columns in range(1, conv.out.width + 1):
            if columns * blocks + _inputs(conv, columns, blocks, core) <= core.registers:
                yield Tile(columns, blocks, core.vmla)


def _by_lane(conv: Conv) -> bool:
    return conv.data.lanes == by_lane.LANES and not conv.depthwise


def by_lane_inputs(columns: int, blocks: int, core: Core) -> int:
    """Return the registers for weights and inputs of products of four inputs at a time."""
    # LLVM reads the weights of all four inputs first; SSE has little to lose by it.
    return columns + blocks * (1 if core.broadcasts else by_lane.LANES)


def _inputs(conv: Conv, columns: int, blocks: int, core: Core) -> int:
    """Return the registers for weights and inputs."""
    if _by_lane(conv):
        return by_lane_inputs(columns, blocks, core)
    taps, width = math.prod(conv.kernel), conv.kernel[1]
    if conv.depthwise and not core.broadcasts:
        stays = taps <= KEPT and not (core.vmla and columns * taps > WRITTEN_OUT)
        return (taps if stays else min(width, UNROLLED)) + SPARE + 1
    if conv.data.lanes == 1 and conv.strides[1] == 1 and width <= UNROLLED:
        # LLVM keeps what neighbours of a picture's row share.
        shared = columns + width - 1
        if core.broadcasts:
            return blocks + max(SPARE, shared)
        return blocks * width + shared + (2 if core.vmla else 4)
    return blocks + SPARE


def cycles(conv: Conv, tile: Tile, core: Core, step: float | None = None) -> float:
    """Return the modelled cycles of a convolution; memory beyond the first cache is not in it.

    Parameters
    ----------
    step : cycles of a step, if they are known better than `step_cycles` says.
    """
    # What is left of a row costs a whole tile: it has code of its own, which must be fetched.
    tiles = -(-conv.out.width // tile.columns)
    row = tiles * _tile_cycles(conv, tile, core, step)
    return row * conv.out.batch * conv.out.height * conv.out.blocks / tile.blocks


def _tile_cycles(conv: Conv, tile: Tile, core: Core, step: float | None) -> float:
    """Return the cycles of one tile: products of all inputs, then the epilogue."""
    steps = conv.kernel[0] * conv.kernel[1] * conv.sums
    operands = sum(one.kind == "add" for one in conv.steps)
    epilogue = tile.columns * tile.blocks * (2 + operands) / core.loads
    step = step_cycles(tile, core, conv.depthwise) if step is None else step
    return steps * step + epilogue + core.latency + LOOP


def step_cycles(tile: Tile, core: Core, depthwise: bool = False) -> float:
    """Return the cycles in which one product is added to each sum of a tile."""
    sums = tile.columns * tile.blocks
    if depthwise:
        wide = core.broadcasts and tile.columns > NEIGHBOURS
        inputs: float = sums * (READ_AGAIN if wide else 1)
    elif core.broadcasts:
        inputs = tile.columns
    else:
        inputs = tile.columns / core.lanes
    return max(sums / core.products, (inputs + tile.blocks) / core.loads, core.latency) + 1
