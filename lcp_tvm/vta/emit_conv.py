"""Convolution, dense layer, addition and average pooling as GEMM instructions.

For every tile: reset, [residual operand], bias, the chunks of the reduction, [sum of partial
copies], shift and clip, store. Bias and residual are micro-ops like any other: the bias meets a
constant input block, the residual a scaled identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, lcm

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_schedule import (
    AddBias,
    AddSkip,
    Clip,
    LoadInputs,
    LoadSkip,
    LoadWeights,
    Multiply,
    Reset,
    StoreTile,
    SumCopies,
    TakeMaximum,
    schedule,
    slot_sizes,
)
from lcp_tvm.vta.emitter import Emitter
from lcp_tvm.vta.epilogue import Place, alu_steps, operands
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import Conv, Weights
from lcp_tvm.vta.nest import ONE_UOP, SAFE_DISTANCE, Dim, Nest, elementwise
from lcp_tvm.vta.packing import bias_block_count, pack_tile_weights
from lcp_tvm.vta.search import best_tiling
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import ConvShape, Group, Span, Tiling
from lcp_tvm.vta.transfers import input_transfers, output_transfers

GEMM_SHIFT_LIMIT = 6
"""2^6 is the largest power of two that an int8 weight holds."""


def conv_shape(layer: Conv, config: VtaConfig) -> ConvShape:
    """The sizes that decide the schedule of a convolution."""
    epilogue = tuple(operands(step) for step in alu_steps(layer.requantise))
    if (layer.skip_shift or 0) > GEMM_SHIFT_LIMIT:
        epilogue = ((Place.SUMS, None), *epilogue)
    group = _group_of(layer, config)
    blockwise = layer.weights is Weights.DENSE and group == Group(1, 1)
    return ConvShape(
        source=layer.source.in_elements(config),
        target=layer.target.in_elements(config),
        window=layer.window,
        pool=layer.pool.window if layer.pool else None,
        output=layer.output.in_elements(config),
        weights=Weights.BLOCKWISE if blockwise else layer.weights,
        group=group,
        bias_blocks=bias_block_count(layer.bias, config.block),
        epilogue=epilogue,
        skip=layer.skip_shift is not None,
        distance=max(SAFE_DISTANCE, config.hazard_distance),
    )


def _group_of(layer: Conv, config: VtaConfig) -> Group:
    """Return the fewest groups of channels that fill blocks on both sides, as blocks."""
    sides = [plane.channels // layer.groups for plane in (layer.source, layer.target)]
    together = lcm(*(config.block // gcd(config.block, channels) for channels in sides))
    planes = (plane.in_elements(config) for plane in (layer.source, layer.target))
    return Group(
        *(
            min(together * channels // config.block, plane.channels)
            for channels, plane in zip(sides, planes, strict=True)
        )
    )


def emit_conv(
    emitter: Emitter,
    layer: Conv,
    source: int,
    skip: int | None,
    target: int,
    weight_base: int,
    tiling: Tiling | None = None,
) -> np.ndarray:
    """Append a convolution's instructions.

    Parameters
    ----------
    source, skip, target : element addresses of the activations in their section.
    weight_base : element address of the layer's weights in theirs.
    tiling : the tiling to use, one that fits; the best one when None.

    Returns
    -------
    The packed weights, int8 ``[elements, BLOCK_OUT, BLOCK_IN]``, in the order of their tiles.

    Raises
    ------
    ValueError
        If no tile fits the buffers; `support` refuses such layers before.
    """
    shape = conv_shape(layer, emitter.config)
    tiling = tiling or best_tiling(shape, emitter.config)
    if tiling is None:
        raise ValueError(f"{layer.name}: no tile fits the buffers")
    return _Emission(emitter, layer, shape, (source, skip, target), weight_base).run(tiling)


class _Emission:
    """One convolution while it is emitted: the weights so far, and where each tile's lie."""

    def __init__(
        self,
        emitter: Emitter,
        layer: Conv,
        shape: ConvShape,
        addresses: tuple[int, int | None, int],
        weight_base: int,
    ) -> None:
        self.emitter, self.layer, self.shape = emitter, layer, shape
        self.source, self.skip, self.target = addresses
        self.weight_base = weight_base
        self.packed: dict[tuple[Span, Span], tuple[int, int]] = {}
        self.weights: list[np.ndarray] = []
        self.weight_count = 0

    def run(self, tiling: Tiling) -> np.ndarray:
        emitter, shape = self.emitter, self.shape
        sizes = slot_sizes(shape, tiling, emitter.config)
        needs = sizes.needs(tiling)
        bases = {space: emitter.reserve(space, size) for space, size in needs.items()}
        for action in schedule(shape, tiling, sizes, emitter.config, bases):
            match action:
                case LoadWeights():
                    self._load_weights(action)
                case LoadInputs(slot, chunk, reach):
                    for run in input_transfers(shape.source, chunk, reach):
                        emitter.load_inputs(slot, self.source, run)
                case LoadSkip(slot, box):
                    assert self.skip is not None
                    for run in output_transfers(shape.output, box):
                        emitter.load_inputs(slot, self.skip, run)
                case Reset(acc):
                    emitter.reset(acc)
                case AddSkip(acc, operand, identity):
                    self._add_skip(acc, operand, identity)
                case AddBias(acc, blocks, weights):
                    one = Range(Space.INP, emitter.one_at, 1)
                    size = acc.size // blocks
                    nest = Nest(Dim(blocks, size, 0, 1), Dim(size, 1, 0, 0), ONE_UOP)
                    emitter.gemm(nest, acc, one, weights)
                case Multiply(acc, inputs, weights, nests):
                    for nest in nests:
                        emitter.gemm(nest, acc, inputs, weights)
                case SumCopies(acc, copies):
                    self._sum_copies(acc, copies)
                case TakeMaximum(acc, output, steps):
                    emitter.take_maximum(steps, acc, output)
                case Clip(acc, copy):
                    self._finish({Place.SUMS: acc, Place.COPY: copy})
                case StoreTile(slot, box):
                    for run in output_transfers(shape.output, box):
                        emitter.store(slot, self.target, run)
        return np.concatenate(self.weights)

    def _load_weights(self, action: LoadWeights) -> None:
        key = (action.blocks, action.chunk)
        if key not in self.packed:
            shift = self.layer.skip_shift
            elements = pack_tile_weights(
                self.layer, self.shape.weights, action.blocks, action.chunk,
                self.shape.bias_blocks if action.extras else 0,
                min(shift, GEMM_SHIFT_LIMIT) if action.extras and shift is not None else None,
                self.emitter.config.block,
            )  # fmt: skip
            self.packed[key] = (self.weight_base + self.weight_count, len(elements))
            self.weights.append(elements)
            self.weight_count += len(elements)
        self.emitter.load_weights(action.slot, *self.packed[key])

    def _add_skip(self, tile: Range, operand: Range, identity: Range) -> None:
        shift = self.layer.skip_shift
        assert shift is not None
        self.emitter.gemm(elementwise(tile.size), tile, operand, identity)
        if shift > GEMM_SHIFT_LIMIT:
            self.emitter.alu(AluOp.SHR, tile, GEMM_SHIFT_LIMIT - shift)

    def _finish(self, at: Mapping[Place, Range]) -> None:
        for step in alu_steps(self.layer.requantise):
            target = at[step.target]
            if isinstance(step.operand, Place):
                operand = at[step.operand]
                self.emitter.alu_pairs(step.op, elementwise(target.size), target, operand)
            else:
                self.emitter.alu(step.op, target, step.operand)

    def _sum_copies(self, tile: Range, copies: int) -> None:
        while copies > 1:
            half = -(-copies // 2)
            count = (copies - half) * tile.size
            behind = Range(Space.OUT, tile.start + half * tile.size, count)
            kept = Range(Space.OUT, tile.start, half * tile.size)
            self.emitter.alu_pairs(AluOp.ADD, elementwise(count), kept, behind)
            copies = half
