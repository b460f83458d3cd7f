"""Convolution, dense layer, addition and average pooling as GEMM instructions.

For every tile: reset, [residual operand], bias, the chunks of the reduction, [sum of partial
copies], shift and clip, store. Bias and residual are micro-ops like any other: the bias meets a
constant input block, the residual a scaled identity.
"""

from __future__ import annotations

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_schedule import (
    Finish,
    LoadInputs,
    LoadSkip,
    LoadWeights,
    Multiply,
    StoreTile,
    schedule,
    slot_sizes,
)
from lcp_tvm.vta.emitter import Emitter
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import Conv, Plane
from lcp_tvm.vta.nest import ONE, SAFE_DISTANCE, Dim, Nest, elementwise
from lcp_tvm.vta.packing import bias_block_count, pack_tile_weights
from lcp_tvm.vta.search import best_tiling
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import Box, ConvShape, Span, Tiling
from lcp_tvm.vta.transfers import input_transfers, output_transfers

GEMM_SHIFT_LIMIT = 6
"""2^6 is the largest power of two that an int8 weight holds."""


def conv_shape(layer: Conv, config: VtaConfig) -> ConvShape:
    """The sizes that decide the schedule of a convolution."""
    block = config.block
    shifts = abs(layer.requantise.shift)
    return ConvShape(
        source=_in_blocks(layer.source, block),
        target=_in_blocks(layer.target, block),
        window=layer.window,
        weights=layer.weights,
        bias_blocks=bias_block_count(layer.bias, block),
        alu_ops=2 + -(-shifts // 15) + (1 if (layer.skip_shift or 0) > GEMM_SHIFT_LIMIT else 0),
        skip=layer.skip_shift is not None,
        distance=max(SAFE_DISTANCE, config.hazard_distance),
    )


def _in_blocks(plane: Plane, block: int) -> Plane:
    return Plane(plane.blocks(block), plane.height, plane.width)


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
    tiling : the tiling to use; the best one when None.

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
        emitter, sizes = self.emitter, slot_sizes(self.shape, tiling, self.emitter.config)
        bases = (
            emitter.reserve(Space.INP, sizes.inputs_used(tiling)),
            emitter.reserve(Space.WGT, sizes.weights * tiling.weight_slots),
            emitter.reserve(Space.OUT, sizes.acc * tiling.acc_slots),
        )
        requantise = self.layer.requantise
        for action in schedule(self.shape, tiling, sizes, emitter.config, bases):
            match action:
                case LoadWeights():
                    self._load_weights(action)
                case LoadInputs():
                    for run in input_transfers(self.shape.source, action.chunk, action.reach):
                        emitter.load_inputs(action.slot, self.source, run)
                case LoadSkip():
                    assert self.skip is not None
                    for run in output_transfers(self.shape.target, action.box):
                        emitter.load_inputs(action.slot, self.skip, run)
                case Multiply():
                    self._multiply(action)
                case Finish():
                    tile = Range(Space.OUT, action.acc, action.box.size)
                    self._sum_copies(tile, action.copies)
                    emitter.requantise(tile, requantise.shift, requantise.low, requantise.high)
                case StoreTile():
                    for run in output_transfers(self.shape.target, action.box):
                        emitter.store(action.acc, self.target, run)
        return np.concatenate(self.weights)

    def _load_weights(self, action: LoadWeights) -> None:
        key = (action.blocks, action.chunk)
        if key not in self.packed:
            shift = self.layer.skip_shift
            elements = pack_tile_weights(
                self.layer, action.blocks, action.chunk,
                self.shape.bias_blocks if action.extras else 0,
                min(shift, GEMM_SHIFT_LIMIT) if action.extras and shift is not None else None,
                self.emitter.config.block,
            )  # fmt: skip
            self.packed[key] = (self.weight_base + self.weight_count, len(elements))
            self.weights.append(elements)
            self.weight_count += len(elements)
        self.emitter.load_weights(action.slot, *self.packed[key])

    def _multiply(self, action: Multiply) -> None:
        acc = Range(Space.OUT, action.acc, action.box.size * action.copies)
        if action.first:
            self.emitter.reset(acc)
            tile = Range(Space.OUT, action.acc, action.box.size)
            extras = action.weights.start + action.weights.size
            bias = self.shape.bias_blocks * action.box.blocks.size
            if action.skip is not None:
                self._add_skip(tile, action.skip, extras + bias)
            self._add_bias(tile, action.box, extras)
        for nest in action.nests:
            self.emitter.gemm(nest, acc, action.inputs, action.weights)

    def _add_skip(self, tile: Range, slot: int, identity: int) -> None:
        shift = self.layer.skip_shift
        assert shift is not None
        operand = Range(Space.INP, slot, tile.size)
        self.emitter.gemm(elementwise(tile.size), tile, operand, Range(Space.WGT, identity, 1))
        if shift > GEMM_SHIFT_LIMIT:
            self.emitter.shift_right(tile, GEMM_SHIFT_LIMIT - shift)

    def _add_bias(self, tile: Range, box: Box, begin: int) -> None:
        one = Range(Space.INP, self.emitter.one_at, 1)
        blocks, size = box.blocks.size, box.rows.size * box.columns.size
        for part in range(self.shape.bias_blocks):
            nest = Nest(Dim(blocks, size, 0, 1), Dim(size, 1, 0, 0), np.zeros((1, 3), np.int32))
            weights = Range(Space.WGT, begin + part * blocks, blocks)
            self.emitter.gemm(nest, tile, one, weights)

    def _sum_copies(self, tile: Range, copies: int) -> None:
        while copies > 1:
            half = -(-copies // 2)
            count = (copies - half) * tile.size
            begin = self.emitter.micro_ops(
                np.array([[tile.start, tile.start + half * tile.size, 0]])
            )
            self.emitter.alu_pairs(
                AluOp.ADD,
                (begin, begin + 1),
                (ONE, Dim(count, 1, 1, 0)),
                Range(Space.OUT, tile.start, half * tile.size),
            )
            copies = half
