"""Convolution, dense layer, addition and average pooling as GEMM instructions.

For every tile: reset, [residual operand], bias, the chunks of the reduction, [sum of partial
copies], shift and clip, store. Bias and residual are micro-ops like any other: the bias meets a
constant input block, the residual a scaled identity.
"""

from __future__ import annotations

from math import prod

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.emitter import Emitter, Slots
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import Conv, Plane, Weights
from lcp_tvm.vta.nest import SAFE_DISTANCE, Dim, Nest, plan_nests, split_partials
from lcp_tvm.vta.packing import bias_block_count, pack_tile_weights
from lcp_tvm.vta.search import SKIP_SLOTS, best_tiling, tile_sizes
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import (
    Box,
    ConvShape,
    InputBox,
    Span,
    Tiling,
    chunks,
    gemm_dims,
    input_box,
)

_MAX_RUN = 0xFFFF
"""Elements that x_size and x_stride can hold."""

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


def _elementwise(size: int) -> Nest:
    """Every output element from the input element of the same index."""
    return Nest(Dim(1, 0, 0, 0), Dim(size, 1, 1, 0), ())


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
    return _ConvEmission(emitter, layer, shape, tiling, source, skip, target, weight_base).run()


class _ConvEmission:
    """One convolution while it is emitted: what lies in which slot, the weights so far."""

    def __init__(
        self,
        emitter: Emitter,
        layer: Conv,
        shape: ConvShape,
        tiling: Tiling,
        source: int,
        skip: int | None,
        target: int,
        weight_base: int,
    ) -> None:
        self.emitter, self.layer, self.shape, self.tiling = emitter, layer, shape, tiling
        self.source, self.skip, self.target = source, skip, target
        self.weight_base = weight_base
        sizes = tile_sizes(shape, tiling.blocks, tiling.rows, tiling.columns, tiling.chunk)
        if sizes is None:
            raise ValueError(f"{layer.name}: tiling {tiling} has no safe GEMM")
        acc_size = self._largest_acc(sizes.acc)
        self.input_slots = Slots(0, sizes.input, tiling.input_slots)
        tile = tiling.blocks * tiling.rows * tiling.columns
        self.skip_slots = Slots(sizes.input * tiling.input_slots, tile, SKIP_SLOTS)
        self.weight_slots = Slots(0, sizes.weight, tiling.weight_slots)
        acc_slots = min(tiling.acc_slots, emitter.config.acc_depth // acc_size)
        self.acc_slots = Slots(0, acc_size, acc_slots)
        self.packed: dict[tuple[Span, Span], tuple[int, int]] = {}
        self.weights: list[np.ndarray] = []
        self.weight_count = 0

    def _largest_acc(self, full: int) -> int:
        """Accumulators of any tile: a smaller last tile may need more partial copies."""
        largest = full
        for box in self.tiling.boxes(self.shape.target):
            for chunk in chunks(self.shape, self.tiling, box):
                largest = max(largest, box.size * self._dims(box, chunk)[1])
        return largest

    def run(self) -> np.ndarray:
        for index, box in enumerate(self.tiling.boxes(self.shape.target)):
            self._emit_tile(index, box)
        return np.concatenate(self.weights)

    def _dims(self, box: Box, chunk: Span) -> tuple[tuple[Dim, ...], int]:
        reach = input_box(box, self.shape.source, self.shape.window)
        dims = gemm_dims(
            self.shape, box.blocks.size, box.rows.size, box.columns.size,
            chunk.size, reach.size, reach.width,
        )  # fmt: skip
        return split_partials(dims, box.size, self.shape.distance)

    def _emit_tile(self, index: int, box: Box) -> None:
        emitter, requantise = self.emitter, self.layer.requantise
        spans = chunks(self.shape, self.tiling, box)
        copies = max(self._dims(box, chunk)[1] for chunk in spans)
        base, _ = self.acc_slots.take(index)
        tile = Range(Space.OUT, base, box.size)
        for position, chunk in enumerate(spans):
            first = position == 0
            weights = self._load_weights(box, chunk, extras=first)
            inputs = self._load_inputs(box, chunk)
            if first:
                emitter.reset(Range(Space.OUT, base, box.size * copies))
                self._emit_skip(index, box, tile, weights)
                self._emit_bias(box, tile, weights, chunk)
            acc = Range(Space.OUT, base, box.size * copies)
            for nest, src, wgt in plan_nests(self._dims(box, chunk)[0], self.shape.distance):
                emitter.gemm(nest, acc, inputs.behind(src), weights.behind(wgt))
        self._sum_copies(tile, copies)
        emitter.requantise(tile, requantise.shift, requantise.low, requantise.high)
        self._store(box, base)

    def _own_weights(self, box: Box, chunk: Span) -> int:
        if self.shape.weights is Weights.UNIFORM:
            return 1
        return box.blocks.size * chunk.size * prod(self.shape.window.kernel)

    def _load_weights(self, box: Box, chunk: Span, *, extras: bool) -> Range:
        key = (box.blocks, chunk)
        if key not in self.packed:
            elements = pack_tile_weights(
                self.layer, box.blocks, chunk, self.shape.bias_blocks if extras else 0,
                min(self.layer.skip_shift, GEMM_SHIFT_LIMIT)
                if extras and self.layer.skip_shift is not None else None,
                self.emitter.config.block,
            )  # fmt: skip
            self.packed[key] = (self.weight_base + self.weight_count, len(elements))
            self.weights.append(elements)
            self.weight_count += len(elements)
        address, count = self.packed[key]
        slot, there = self.weight_slots.take(key)
        if not there:
            self.emitter.load_weights(slot, address, count)
        return Range(Space.WGT, slot, count)

    def _load_inputs(self, box: Box, chunk: Span) -> Range:
        reach = input_box(box, self.shape.source, self.shape.window)
        slot, there = self.input_slots.take((reach.rows, reach.columns, chunk))
        if not there:
            self._load_planes(slot, chunk, reach)
        return Range(Space.INP, slot, chunk.size * reach.size)

    def _load_planes(self, slot: int, chunk: Span, reach: InputBox) -> None:
        source = self.shape.source
        plane = source.height * source.width
        begin = self.source + chunk.begin * plane + reach.rows.begin * source.width
        run = reach.rows.size * source.width
        contiguous = not any(reach.padding) and reach.columns.size == source.width
        if contiguous and run <= _MAX_RUN and plane <= _MAX_RUN:
            self.emitter.load_inputs(slot, begin, rows=chunk.size, size=run, stride=plane)
            return
        for block in range(chunk.size):
            self.emitter.load_inputs(
                slot + block * reach.size,
                begin + block * plane + reach.columns.begin,
                rows=reach.rows.size,
                size=reach.columns.size,
                stride=source.width,
                padding=reach.padding,
            )

    def _store(self, box: Box, base: int) -> None:
        for offset, address, rows, size, stride in self._output_runs(box, self.target):
            self.emitter.store(base + offset, address, rows=rows, size=size, stride=stride)

    def _output_runs(self, box: Box, base: int) -> list[tuple[int, int, int, int, int]]:
        """Transfers of a tile of outputs: (SRAM offset, address, rows, size, stride)."""
        target = self.shape.target
        plane = target.height * target.width
        begin = base + box.blocks.begin * plane + box.rows.begin * target.width
        run = box.rows.size * target.width
        if box.columns.size == target.width and run <= _MAX_RUN and plane <= _MAX_RUN:
            return [(0, begin, box.blocks.size, run, plane)]
        size = box.rows.size * box.columns.size
        return [
            (
                block * size,
                begin + block * plane + box.columns.begin,
                box.rows.size,
                box.columns.size,
                target.width,
            )
            for block in range(box.blocks.size)
        ]

    def _emit_skip(self, index: int, box: Box, tile: Range, weights: Range) -> None:
        shift = self.layer.skip_shift
        if shift is None or self.skip is None:
            return
        slot, _ = self.skip_slots.take(index)
        for offset, address, rows, size, stride in self._output_runs(box, self.skip):
            self.emitter.load_inputs(slot + offset, address, rows=rows, size=size, stride=stride)
        identity = Range(Space.WGT, weights.start + weights.size - 1, 1)
        operand = Range(Space.INP, slot, box.size)
        self.emitter.gemm(_elementwise(box.size), tile, operand, identity)
        if shift > GEMM_SHIFT_LIMIT:
            self.emitter.shift_right(tile, GEMM_SHIFT_LIMIT - shift)

    def _emit_bias(self, box: Box, tile: Range, weights: Range, chunk: Span) -> None:
        one = Range(Space.INP, self.emitter.one_at, 1)
        own = self._own_weights(box, chunk)
        size = box.rows.size * box.columns.size
        for part in range(self.shape.bias_blocks):
            begin = weights.start + own + part * box.blocks.size
            nest = Nest(Dim(box.blocks.size, size, 0, 1), Dim(size, 1, 0, 0), ())
            self.emitter.gemm(nest, tile, one, Range(Space.WGT, begin, box.blocks.size))

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
                ((1, 0, 0), (count, 1, 1)),
                Range(Space.OUT, tile.start, half * tile.size),
            )
            copies = half
