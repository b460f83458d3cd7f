"""Choose a convolution's tiling: all that fit the buffers, the fewest modelled cycles wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Weights
from lcp_tvm.vta.nest import Nest, plan_nest, split_partials
from lcp_tvm.vta.tiling import ConvShape, Tiling, gemm_dims
from lcp_tvm.vta.timing import Timing

SKIP_SLOTS = 2
"""Tiles of a residual operand on chip: one in use, one loading."""


@dataclass(frozen=True, slots=True)
class TileSizes:
    """SRAM elements of the largest tile, and its GEMM."""

    input: int
    weight: int
    acc: int
    nest: Nest
    copies: int


@lru_cache(maxsize=65536)
def tile_sizes(
    shape: ConvShape, blocks: int, rows: int, columns: int, chunk: int
) -> TileSizes | None:
    """Sizes of a full tile, or None when its GEMM cannot be made safe."""
    (sh, sw), (eh, ew) = shape.window.stride, shape.window.extent
    height, width = (rows - 1) * sh + eh, (columns - 1) * sw + ew
    dense = shape.weights is Weights.DENSE
    inputs = (chunk if dense else blocks) * height * width
    dims = gemm_dims(shape, blocks, rows, columns, chunk, height * width, width)
    dims, copies = split_partials(dims, blocks * rows * columns, shape.distance)
    nest = plan_nest(dims, shape.distance)
    if nest is None:
        return None
    taps = prod(shape.window.kernel)
    weight = blocks * chunk * taps if dense else 1
    weight += blocks * shape.bias_blocks + (1 if shape.skip else 0)
    return TileSizes(inputs, weight, copies * blocks * rows * columns, nest, copies)


def candidates(shape: ConvShape, config: VtaConfig) -> Iterator[tuple[Tiling, TileSizes]]:
    """Every tiling that fits the buffers."""
    target, dense = shape.target, shape.weights is Weights.DENSE
    free_inputs = config.inp_depth - 1
    for blocks in _steps(target.channels):
        for columns in _steps(target.width, fewest=3):
            for rows in _steps(target.height):
                tile = blocks * rows * columns
                if tile > config.acc_depth:
                    break
                for chunk in _steps(shape.source.channels) if dense else (1,):
                    sizes = tile_sizes(shape, blocks, rows, columns, chunk)
                    if sizes is None or sizes.acc > config.acc_depth:
                        continue
                    skips = SKIP_SLOTS * tile if shape.skip else 0
                    if sizes.input + skips > free_inputs or sizes.weight > config.wgt_depth:
                        break
                    if sizes.nest.uop_count > config.uop_depth // 4:
                        continue
                    acc_slots = 2 if 2 * sizes.acc <= config.acc_depth else 1
                    need = -(-shape.source.channels // chunk) if dense else 1
                    tiles = -(-target.channels // blocks)
                    for order in (True, False):
                        inputs = _slots(free_inputs - skips, sizes.input, need)
                        weights = _slots(
                            config.wgt_depth, sizes.weight, need if order else need * tiles
                        )
                        yield (
                            Tiling(blocks, rows, columns, chunk, order, inputs, weights, acc_slots),
                            sizes,
                        )


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
    timing = Timing.of(config)
    best: tuple[float, Tiling] | None = None
    for tiling, sizes in candidates(shape, config):
        cost = cycles(shape, tiling, sizes, timing, config)
        if best is None or cost < best[0]:
            best = cost, tiling
    return best[1] if best else None


def cycles(
    shape: ConvShape, tiling: Tiling, sizes: TileSizes, timing: Timing, config: VtaConfig
) -> float:
    """Modelled cycles of a convolution: the busiest unit, and the first load and last store."""
    target, dense = shape.target, shape.weights is Weights.DENSE
    block_tiles = ceil(target.channels / tiling.blocks)
    plane_tiles = ceil(target.height / tiling.rows) * ceil(target.width / tiling.columns)
    chunk_count = ceil(shape.source.channels / tiling.chunk) if dense else 1
    tiles = block_tiles * plane_tiles
    compute = _compute_cycles(shape, tiling, sizes, timing, config, tiles, chunk_count)

    input_loads, weight_loads = tiles * chunk_count, tiles * chunk_count
    if tiling.blocks_outer:
        if dense and plane_tiles * chunk_count <= tiling.input_slots:
            input_loads = plane_tiles * chunk_count
        if chunk_count <= tiling.weight_slots:
            weight_loads = block_tiles * chunk_count
    else:
        if dense and chunk_count <= tiling.input_slots:
            input_loads = plane_tiles * chunk_count
        if block_tiles * chunk_count <= tiling.weight_slots:
            weight_loads = block_tiles * chunk_count
    planes = tiling.chunk if dense else tiling.blocks
    padded = any(shape.window.padding) or tiling.columns < target.width
    height = (tiling.rows - 1) * shape.window.stride[0] + shape.window.extent[0]
    input_load = timing.dma(
        sizes.input * config.inp_elem_bytes,
        planes * (height if padded else 1),
        planes if padded else 1,
    )
    weight_load = timing.dma(sizes.weight * config.wgt_elem_bytes, 1, 1, weight=True)
    load = input_loads * input_load + weight_loads * weight_load

    whole = tiling.columns == target.width
    store_one = timing.dma(
        tiling.blocks * tiling.rows * tiling.columns * config.out_elem_bytes,
        tiling.blocks * (1 if whole else tiling.rows),
        1 if whole else tiling.blocks,
    )
    store = tiles * store_one
    if shape.skip:
        load += tiles * store_one
    if tiling.acc_slots == 1:
        compute, store = compute + store, 0.0
    if min(tiling.input_slots, tiling.weight_slots) == 1:
        compute, load = compute + load, 0.0
    return max(compute, load, store) + input_load + weight_load + store_one


def _compute_cycles(
    shape: ConvShape,
    tiling: Tiling,
    sizes: TileSizes,
    timing: Timing,
    config: VtaConfig,
    tiles: int,
    chunk_count: int,
) -> float:
    outputs = shape.target.channels * shape.target.height * shape.target.width
    taps = prod(shape.window.kernel)
    depth = shape.source.channels if shape.weights is Weights.DENSE else 1
    extra = shape.bias_blocks + (1 if shape.skip else 0)
    array = outputs * (depth * taps + sizes.copies + extra) * timing.gemm_uop
    alu = outputs * (shape.alu_ops + sizes.copies - 1) * timing.alu_uop
    per_tile = chunk_count + 1 + extra + shape.alu_ops + (sizes.copies - 1).bit_length()
    instructions = tiles * per_tile * timing.instruction

    lists = min(tiles * chunk_count, tiling.input_slots * tiling.weight_slots * tiling.acc_slots)
    if lists * sizes.nest.uop_count > config.uop_depth // 2:
        lists = tiles * chunk_count
    uops = timing.dma(lists * sizes.nest.uop_count * 4, lists, lists)
    return array + alu + instructions + uops
