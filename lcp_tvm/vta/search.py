"""Choose a convolution's tiling: all that fit the buffers, the fewest modelled cycles wins.

A bound in closed form ranks the candidates; the best of them are gone through action by action.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import ceil

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_cycles import cost_of
from lcp_tvm.vta.conv_schedule import (
    SlotSizes,
    UnsafeError,
    acc_elements,
    own_weights,
    slot_sizes,
)
from lcp_tvm.vta.layer import Plane, Weights
from lcp_tvm.vta.step import Space
from lcp_tvm.vta.tiling import Box, ConvShape, Span, Tiling, reach_limit, works_of
from lcp_tvm.vta.timing import Timing

SHORTLIST = 12
"""Candidates that are gone through action by action."""

INSTRUCTION_PRICE = 20
"""Cycles that an instruction counts beside its own: fetched over the same port, kept in memory."""


def candidates(shape: ConvShape, config: VtaConfig) -> Iterator[Tiling]:
    """Every tiling whose tiles fit the buffers, micro-ops and copies not yet looked at."""
    output, dense = shape.output, shape.weights is Weights.DENSE
    free_inputs = config.inp_depth - 1
    apart = shape.window.stride[0] > shape.window.extent[0]
    for (blocks, frames, rows, columns), strips in product(
        _tile_sizes(output, shape.together), (False, True) if apart else (False,)
    ):
        tile = blocks * frames * rows * columns
        whole, plane = (frames * area for area in _largest(shape, rows, columns, strips))
        scratch = blocks * whole if shape.pool else tile if shape.copied else 0
        if tile + scratch > config.acc_depth:
            continue
        acc_slots = 2 if 2 * tile + scratch <= config.acc_depth else 1
        met = _met(shape, blocks)
        for chunk in (blocks,) if shape.weights is Weights.UNIFORM else _steps(met):
            inputs = chunk * plane
            weights = own_weights(shape, blocks, chunk)
            weights += blocks * shape.bias_blocks + (1 if shape.skip else 0)
            if inputs > free_inputs or weights > config.wgt_depth:
                break
            need = ceil(met / chunk)
            tiles = _block_tiles(shape, blocks)
            for order, skips in product((True, False), (1, 2) if shape.skip else (0,)):
                if inputs + skips * tile > free_inputs:
                    continue
                yield Tiling(
                    blocks,
                    rows,
                    columns,
                    chunk,
                    order,
                    _slots(free_inputs - skips * tile, inputs, need if dense else 1),
                    _slots(config.wgt_depth, weights, need if order else need * tiles),
                    acc_slots,
                    skips,
                    frames,
                    strips,
                )


def _tile_sizes(output: Plane, together: int) -> Iterator[tuple[int, int, int, int]]:
    """Blocks, frames, rows and columns; several frames only where they are whole."""
    for blocks, columns, rows in product(
        _steps(together), _steps(output.width, fewest=3), _steps(output.height)
    ):
        whole = (rows, columns) == (output.height, output.width)
        for frames in _steps(output.frames) if whole else (1,):
            yield blocks, frames, rows, columns


def _met(shape: ConvShape, blocks: int) -> int:
    """Input blocks that a tile of output blocks meets."""
    return shape.group.inputs if shape.weights is Weights.DENSE else blocks


def _block_tiles(shape: ConvShape, blocks: int) -> int:
    """Tiles of ``blocks`` output blocks, about: the last group may have fewer."""
    return ceil(shape.output.channels / shape.together) * ceil(shape.together / blocks)


def _largest(shape: ConvShape, rows: int, columns: int, strips: bool) -> tuple[int, int]:
    """Elements of one block that a tile computes, and that it reaches, at most."""
    height, width = rows, columns
    if shape.pool is not None:
        height, width = reach_limit(shape.pool, shape.target, height, width)
    reach = reach_limit(shape.window, shape.source, height, width)
    read = min(reach[0], height * shape.window.extent[0]) if strips else reach[0]
    return height * width, max(read * reach[1], 1)


def _slots(depth: int, size: int, wanted: int) -> int:
    """All ``wanted`` tiles and one to load ahead when they fit, else two, else one."""
    fit = depth // size
    return min(fit, wanted + 1) if fit >= wanted else min(fit, 2)


def _steps(total: int, fewest: int = 1) -> list[int]:
    """Tile sizes worth trying: ``total`` over 1, 2, 3, ... parts, each size once, ascending."""
    parts = range(1, total + 1)
    sizes = sorted({-(-total // part) for part in parts})
    if fewest > 1 and len(sizes) > 12:
        sizes = [s for s in sizes if s * 16 >= total]
    return sizes


@lru_cache(maxsize=4096)
def best_tiling(shape: ConvShape, config: VtaConfig) -> Tiling | None:
    """The tiling with the fewest modelled cycles, None when no tile fits the buffers."""
    ranked = sorted(candidates(shape, config), key=lambda tiling: bound(shape, tiling, config))
    costs: dict[Tiling, float] = {}
    for tried, tiling in enumerate(ranked):
        if tried >= SHORTLIST and costs:
            break
        for variant in slot_variants(tiling):
            cost = price(shape, variant, config)
            if cost is not None:
                costs[variant] = cost
    return min(costs, key=lambda tiling: costs[tiling], default=None)


def price(shape: ConvShape, tiling: Tiling, config: VtaConfig) -> float | None:
    """What a tiling costs; None where it is none, does not fit or cannot be made safe."""
    if not _possible(shape, tiling):
        return None
    try:
        sizes = slot_sizes(shape, tiling, config)
    except UnsafeError:
        return None
    if not _fits(tiling, sizes, config):
        return None
    cost = cost_of(shape, tiling, sizes, config)
    return cost.amid + INSTRUCTION_PRICE * cost.instructions


def _possible(shape: ConvShape, tiling: Tiling) -> bool:
    """Whether a tile is a part of what there is, and something is in every slot."""
    output = shape.output
    limits = (
        (tiling.blocks, shape.together),
        (tiling.rows, output.height),
        (tiling.columns, output.width),
        (tiling.frames, output.frames),
        (tiling.chunk, _met(shape, tiling.blocks)),
    )
    slots = tiling.input_slots, tiling.weight_slots, tiling.acc_slots
    whole = (tiling.rows, tiling.columns) == (output.height, output.width)
    return (
        all(1 <= size <= most for size, most in limits)
        and all(slot >= 1 for slot in slots)
        and (tiling.skip_slots >= 1) == shape.skip
        and (whole or tiling.frames == 1)
    )


def slot_variants(tiling: Tiling) -> Iterator[Tiling]:
    """A tiling, and the same with other numbers of slots."""
    yield tiling
    if tiling.weight_slots == 2:
        yield replace(tiling, weight_slots=3)
    if tiling.input_slots == 2:
        yield replace(tiling, input_slots=3)
    if tiling.acc_slots == 2:
        yield replace(tiling, acc_slots=1)


def _fits(tiling: Tiling, sizes: SlotSizes, config: VtaConfig) -> bool:
    depths = {
        Space.INP: config.inp_depth - 1,
        Space.WGT: config.wgt_depth,
        Space.OUT: config.acc_depth,
    }
    return all(size <= depths[space] for space, size in sizes.needs(tiling).items())


def bound(shape: ConvShape, tiling: Tiling, config: VtaConfig) -> float:
    """Cycles of the busiest unit, and of the first load and the last store."""
    timing = Timing.of(config)
    output, dense = shape.output, shape.weights is Weights.DENSE
    block_tiles = _block_tiles(shape, tiling.blocks)
    groups = ceil(output.channels / shape.together)
    area_tiles = ceil(output.height / tiling.rows) * ceil(output.width / tiling.columns)
    plane_tiles = area_tiles * ceil(output.frames / tiling.frames)
    chunk_count = ceil(_met(shape, tiling.blocks) / tiling.chunk)
    tiles = block_tiles * plane_tiles
    whole, reach = _largest(shape, tiling.rows, tiling.columns, tiling.strips)

    outputs = output.size
    extra = 1 + shape.bias_blocks + (1 if shape.skip else 0) + (1 if shape.copied else 0)
    compute = (_products(shape) + outputs * extra) * timing.gemm_uop
    compute += outputs * len(shape.epilogue) * timing.alu_uop
    compute += tiles * (chunk_count + extra + len(shape.epilogue)) * timing.instruction
    if shape.pool is not None:  # what tiles compute twice, and the maxima
        plane = shape.target.height * shape.target.width
        compute *= max(area_tiles * whole / plane, 1.0)

    input_loads, weight_loads = tiles * chunk_count, tiles * chunk_count
    if tiling.blocks_outer:
        if dense and plane_tiles * chunk_count <= tiling.input_slots:
            input_loads = groups * plane_tiles * chunk_count
        if chunk_count <= tiling.weight_slots:
            weight_loads = block_tiles * chunk_count
    else:
        if dense and chunk_count <= tiling.input_slots:
            input_loads = groups * plane_tiles * chunk_count
        if block_tiles * chunk_count <= tiling.weight_slots:
            weight_loads = block_tiles * chunk_count
    planes = tiling.chunk * tiling.frames
    in_rows = tiling.columns == output.width
    whole_rows = in_rows and not tiling.strips
    input_load = timing.dma(
        planes * reach * config.inp_elem_bytes,
        planes * (1 if whole_rows else tiling.rows if tiling.strips else reach / tiling.columns),
        1 if whole_rows else planes,
    )
    kernels = own_weights(shape, tiling.blocks, tiling.chunk)
    weights = kernels + tiling.blocks * shape.bias_blocks / chunk_count
    weight_load = timing.dma(weights * config.wgt_elem_bytes, 1, 1, weight=True)
    load = input_loads * input_load + weight_loads * weight_load

    store_one = timing.dma(
        acc_elements(tiling) * config.out_elem_bytes,
        tiling.blocks * (1 if in_rows else tiling.rows),
        1 if in_rows else tiling.blocks,
    )
    store = tiles * store_one
    if shape.skip:
        load += tiles * store_one
    if tiling.acc_slots == 1:
        compute, store = compute + store, 0.0
    if min(tiling.input_slots, tiling.weight_slots) == 1:
        compute, load = compute + load, 0.0
    return max(compute, load, store) + input_load + store_one


@lru_cache(maxsize=4096)
def _products(shape: ConvShape) -> int:
    """GEMM micro-ops of the whole convolution: no tiling changes them."""
    target = shape.target
    spans = (target.channels, target.height, target.width, target.frames)
    box = Box(*(Span(0, size) for size in spans))
    chunk = Span(0, _met(shape, target.channels))
    return sum(work.issue_slots for work in works_of(shape, box, chunk))
