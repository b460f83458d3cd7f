"""How a convolution is computed: directly or by Winograd, as a model of the core says.

The model adds up what a core does for a chunk of tiles: transform them, read the weights,
multiply, transform the results. Both ways read their weights once a frame at least, and weights
that are transformed for tiles of 4x4 are four times as many, so maps of few pixels stay away
from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.kernels import by_lane
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.winograd import KERNEL, POINTS, Winograd, has_winograd, tiles_across
from lcp_tvm.cpu.tile import (
    LOOP,
    MOST_BLOCKS,
    by_lane_inputs,
    choose_tile,
    cycles,
    step_cycles,
)

WORTH = 0.9
"""Of the cycles of a way that needs less memory: one that saves less than a tenth is not taken."""

READ = 8.0
"""Bytes of weights that are read in a cycle, from memory or a cache that all cores share."""

NEAR = 20.0
"""Bytes that are written to, or read from, a core's own cache in a cycle."""

READING = 0.25
"""The most that reading the weights again for the next chunk may add to its multiplications."""

SPARE = 9
"""Registers for inputs on their way; with fewer, LLVM spills."""

FEWEST_TILES = 8
"""Of a map, for each of which transformed weights are read: fewer do not earn their memory."""

ARITHMETIC = {2: (4, 4, 3), 4: (14, 13, 8)}
"""Vector operations of a transform of one row or column, by outputs: of data, results, shared
weights."""


def choose_conv(conv: Conv, core: Core) -> Tile | Winograd:
    """Return the way that takes the fewest modelled cycles for its memory."""
    direct = choose_tile(conv, core)
    best: Tile | Winograd = direct
    least = direct_cycles(conv, direct, core)
    for outputs in _outputs_of(conv):
        taken, plan = min(
            ((winograd_cycles(conv, one, core), one) for one in plans_of(conv, outputs, core)),
            key=lambda pair: (pair[0], pair[1].tile.columns),
        )
        if taken < WORTH * least:
            best, least = plan, taken
    return best


def direct_cycles(conv: Conv, tile: Tile, core: Core, step: float | None = None) -> float:
    """Return the modelled cycles of a direct convolution that reads its weights once.

    Parameters
    ----------
    step : as of `tile.cycles`.
    """
    return cycles(conv, tile, core, step) + weight_cycles(conv, conv.kernel[0] * conv.kernel[1])


def all_plans_of(conv: Conv, core: Core) -> Iterator[Winograd]:
    """Return plans of tiles of all sizes; none where a convolution has no Winograd."""
    for outputs in _outputs_of(conv):
        yield from plans_of(conv, outputs, core)


def _outputs_of(conv: Conv) -> list[int]:
    """Return the sizes of tiles that earn their memory, the smallest first."""
    if not has_winograd(conv):
        return []
    return [
        outputs
        for outputs in sorted(POINTS)
        if math.prod(tiles_across(conv, outputs)) >= FEWEST_TILES
    ]


def plans_of(conv: Conv, outputs: int, core: Core) -> Iterator[Winograd]:
    """Return plans of all tiles whose sums, weights and input stay in registers."""
    tiles = math.prod(tiles_across(conv, outputs))
    # Weights of a product are multiplied in a cycle / products for each tile of a chunk.
    products = conv.sums * conv.out.blocks * (outputs + KERNEL - 1) ** 2
    enough = prepare_cycles(conv, outputs, core) * core.products / (products * READING)
    chunks = max(1, int(tiles / enough))
    for blocks in range(1, MOST_BLOCKS + 1):
        if conv.out.blocks % blocks:
            continue
        for width in range(1, min(core.registers, tiles) + 1):
            if width * blocks + _inputs(width, blocks, core) > core.registers:
                break
            chunk = -(-tiles // (chunks * width)) * width
            yield Winograd(outputs, Tile(width, blocks, core.vmla), chunk)


def _inputs(width: int, blocks: int, core: Core) -> int:
    """Return the registers for weights and inputs of a register tile."""
    return by_lane_inputs(width, blocks, core) if core.lanes == by_lane.LANES else SPARE + blocks


def winograd_cycles(conv: Conv, plan: Winograd, core: Core, step: float | None = None) -> float:
    """Return the modelled cycles of a convolution.

    Parameters
    ----------
    step : as of `tile.cycles`.
    """
    tiles, tile = math.prod(tiles_across(conv, plan.outputs)), plan.tile
    operations = ARITHMETIC[plan.outputs]
    begun = core.latency + LOOP
    data = 2 * plan.inputs * operations[0] / core.products + 2 * plan.products / core.loads + begun
    operands = sum(one.kind == "add" for one in conv.steps)
    stored = plan.products + plan.outputs**2 * (2 + operands)
    result = (
        (plan.inputs + plan.outputs) * operations[1] / core.products + stored / core.loads + begun
    )
    sums = tile.columns * tile.blocks / core.loads
    step = step_cycles(tile, core) if step is None else step
    multiplied = conv.sums * step + sums + begun
    register_tiles = -(-tiles // tile.columns) * plan.products / tile.blocks
    per_frame = (
        tiles * conv.data.blocks * data
        + conv.out.blocks * (tiles * result + register_tiles * multiplied)
    )  # fmt: skip
    chunks = -(-tiles // plan.chunk)
    return conv.out.batch * (per_frame + chunks * prepare_cycles(conv, plan.outputs, core))


def prepare_cycles(conv: Conv, outputs: int, core: Core) -> float:
    """Return the cycles in which all weights are read and, shared ones, transformed."""
    inputs = outputs + KERNEL - 1
    if not conv.shared:
        return weight_cycles(conv, inputs**2)
    transform = (KERNEL + inputs) * ARITHMETIC[outputs][2] / core.products
    there_and_back = 2 * inputs**2 * 4 * core.lanes / NEAR
    pairs = conv.sums * conv.out.blocks
    return pairs * (transform + there_and_back) + weight_cycles(conv, KERNEL**2)


def weight_cycles(conv: Conv, products: int) -> float:
    """Return the cycles in which weights are read once, so many for each pair of channels."""
    return conv.sums * conv.out.blocks * conv.out.lanes * products * 4 / READ
