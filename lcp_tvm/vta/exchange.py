"""A dense layer with its operands exchanged: weights travel as inputs, which load twice as fast.

    x [K]              --spread-->  weight elements with a block of x in their first row
    weights [N, K]     --GEMM---->  accumulators: lane 0 of element n is output n
    lane 0 of N        --gather-->  blocks of outputs, as every layer stores them

A block of one output's weights is an input element, so a GEMM issues BLOCK times as many micro-ops
as it does the other way round: still fewer cycles than bringing the weights in takes.

A convolution could put 16 pixels into a weight element's rows. On maps of 7x7, which weights
bound, 49 pixels fill 64 rows: for ResNet-50's 2048 to 512 channels GEMM and clips take 276k cycles
where the weights take 293k the usual way. At most 6 % are gained before the results are put in
order, so convolutions keep their operands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_cycles import cost_of
from lcp_tvm.vta.conv_schedule import slot_sizes
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.epilogue import alu_steps
from lcp_tvm.vta.layer import Conv, Layer, Weights
from lcp_tvm.vta.nest import SAFE_DISTANCE
from lcp_tvm.vta.packing import bias_block_count
from lcp_tvm.vta.search import INSTRUCTION_PRICE, best_tiling
from lcp_tvm.vta.tiling import Span, cut, spans
from lcp_tvm.vta.timing import Timing

SPREAD = 64
"""Blocks of x that are spread at once."""

GATHERED = 64
"""Blocks of outputs that are gathered at once."""

GROUP = 128
"""Outputs that are shifted, clipped and stored at once, about: what is left to do at the end."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Sizes of an exchanged dense layer, and how it is divided.

    Attributes
    ----------
    inputs : blocks of x.
    bias : blocks of a constant input that make up the bias; they lie behind x.
    outputs : outputs, a multiple of BLOCK: the last ones are zero.
    chunks : intervals of ``inputs + bias`` whose blocks are on chip together.
    resident : whether all chunks stay on chip.
    part : blocks of one output that a tile of weights has, at most.
    groups : intervals of outputs that are accumulated together, each in its tiles.
    tile : SRAM elements of a tile of weights, at most.
    """

    inputs: int
    bias: int
    outputs: int
    chunks: tuple[Span, ...]
    resident: bool
    part: int
    groups: tuple[tuple[Span, ...], ...]
    tile: int

    @property
    def parts(self) -> tuple[tuple[Span, ...], ...]:
        """Every chunk's parts."""
        return tuple(tuple(cut(chunk, self.part)) for chunk in self.chunks)

    @property
    def group(self) -> int:
        """Outputs of the largest group."""
        return max(group[-1].end - group[0].begin for group in self.groups)

    @property
    def chunk_slots(self) -> int:
        """Chunks on chip."""
        return len(self.chunks) if self.resident else 2

    @property
    def chunk(self) -> int:
        """Blocks of the largest chunk."""
        return max(chunk.size for chunk in self.chunks)

    def scratch(self, block: int) -> int:
        """DRAM elements for x, spread out, and for the outputs before they are gathered."""
        return self.inputs * block + self.outputs


def exchange_of(layer: Layer, config: VtaConfig) -> Exchange | None:
    """How to run a layer with its operands exchanged; None where that is not faster."""
    if not isinstance(layer, Conv) or not _is_dense(layer) or config.batch > 1:
        return None
    found = _divided(layer, config)
    shape = conv_shape(layer, config)
    tiling = best_tiling(shape, config)
    if found is None or tiling is None:
        return found
    cost = cost_of(shape, tiling, slot_sizes(shape, tiling, config), config)
    cycles, instructions = cycles_of(found, layer, config)
    faster = cost.cycles - cycles > INSTRUCTION_PRICE * (instructions - cost.instructions)
    return found if faster else None


def _is_dense(layer: Conv) -> bool:
    """Whether every output meets every input once, of one frame, and nothing else."""
    source, target = layer.source, layer.target
    return (
        layer.weights is Weights.DENSE
        and layer.groups == 1
        and layer.window.kernel == (source.height, source.width)
        and layer.window.padding == (0, 0, 0, 0)
        and (target.height, target.width, target.frames) == (1, 1, 1)
        and layer.skip_shift is None
        and layer.pool is None
        and layer.requantise.slope is None
    )


def _divided(layer: Conv, config: VtaConfig) -> Exchange | None:
    block, distance = config.block, max(SAFE_DISTANCE, config.hazard_distance)
    inputs = layer.source.in_elements(config).size
    bias = bias_block_count(layer.bias, block)
    outputs = ceil(layer.target.channels / block) * block
    room = config.wgt_depth - 1 - GATHERED
    terms = inputs + bias
    resident = terms <= room
    slot = (config.inp_depth - 2 - SPREAD) // 2
    if room < 2 or slot < 1:
        return None
    chunks = spans(terms, terms if resident else room // 2)
    most = config.acc_depth // 2
    for parts in range(1, chunks[0].size + 1):
        part = ceil(chunks[0].size / parts)
        tile = min(slot // part, most, outputs)
        if tile and outputs // ceil(outputs / tile) >= distance:
            break
    else:
        return None
    tiles = _even(outputs, ceil(outputs / tile))
    together = max(1, (GROUP if resident else most) // tile)
    groups = tuple(tuple(tiles[i : i + together]) for i in range(0, len(tiles), together))
    return Exchange(inputs, bias, outputs, tuple(chunks), resident, part, groups, part * tile)


def _even(total: int, count: int) -> list[Span]:
    """``count`` intervals whose sizes differ by one at most."""
    edges = [total * i // count for i in range(count + 1)]
    return [Span(*pair) for pair in pairwise(edges)]


def cycles_of(exchange: Exchange, layer: Conv, config: VtaConfig) -> tuple[float, int]:
    """Modelled cycles of an exchanged layer that runs alone, and its instructions."""
    timing = Timing.of(config)
    steps = len(alu_steps(layer.requantise))
    terms, groups = exchange.inputs + exchange.bias, len(exchange.groups)
    tiles = sum(map(len, exchange.groups)) * sum(map(len, exchange.parts))
    pieces = ceil(exchange.inputs / SPREAD)
    blocks = exchange.outputs // config.block
    gathers = ceil(blocks / GATHERED)
    visits = len(exchange.chunks) * (1 if exchange.resident else groups)

    element, weight = config.inp_elem_bytes, config.wgt_elem_bytes
    spread = timing.dma(exchange.inputs * element, pieces, pieces)
    spread += timing.dma(exchange.inputs * element, exchange.inputs, pieces)
    x_loads = visits / len(exchange.chunks) * terms
    load = timing.dma(exchange.outputs * terms * element, tiles, tiles)
    load += timing.dma(x_loads * weight, visits, visits, weight=True)
    load += timing.dma(blocks * weight, gathers, gathers, weight=True)
    reset_and_clip = timing.gemm_uop + steps * timing.alu_uop
    compute = exchange.outputs * (terms * timing.gemm_uop + reset_and_clip)
    compute += (tiles + groups * (1 + steps)) * timing.instruction
    last = exchange.group * reset_and_clip + (2 + steps) * timing.instruction
    last += timing.dma(exchange.group * element, 2, 2) + timing.dma(blocks * element, 1, 1)
    instructions = 2 * tiles + groups * (2 + steps) + visits + 4 * (pieces + gathers) + 3
    return spread + max(load, compute) + last, instructions
