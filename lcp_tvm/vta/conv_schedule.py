"""What a tiled convolution does, in order: loads, GEMMs, epilogues and stores of tiles.

    load weights | load inputs | reset | bias | multiply .. | [maximum] | clip | store | ..

`search` counts the cycles of such a list, `emit_conv` turns it into instructions: what lies in
which slot is decided here, once for both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Weights
from lcp_tvm.vta.nest import Limits, Nest, Product, product_of
from lcp_tvm.vta.pooling import PoolStep, pool_steps
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import (
    Box,
    ConvShape,
    Reach,
    Span,
    Tiling,
    chunks,
    computed,
    reach_of,
    window_work,
    works_of,
)
from lcp_tvm.vta.timing import Timing

UOP_BYTES = 4


class UnsafeError(Exception):
    """A tiling has a GEMM that no choice of loops makes safe."""


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """Kernels of output blocks and a chunk; the first chunk's bring bias and identity along."""

    slot: int
    blocks: Span
    chunk: Span
    extras: bool


@dataclass(frozen=True, slots=True)
class LoadInputs:
    """Input blocks of a chunk, as far as a tile reaches."""

    slot: int
    chunk: Span
    reach: Reach


@dataclass(frozen=True, slots=True)
class LoadSkip:
    """A tile of the residual operand."""

    slot: int
    box: Box


@dataclass(frozen=True, slots=True)
class Reset:
    """Zero accumulators."""

    acc: Range


@dataclass(frozen=True, slots=True)
class AddSkip:
    """Add the residual operand by a scaled identity."""

    acc: Range
    operand: Range
    identity: Range
    slot: int


@dataclass(frozen=True, slots=True)
class AddBias:
    """Add a part of the bias of so many output blocks."""

    acc: Range
    blocks: int
    weights: Range
    slot: int


@dataclass(frozen=True, slots=True)
class Multiply:
    """Accumulate one chunk of a tile."""

    acc: Range
    inputs: Range
    weights: Range
    nests: tuple[Nest, ...]


@dataclass(frozen=True, slots=True)
class SumCopies:
    """Add up the copies of a tile."""

    acc: Range
    copies: int


@dataclass(frozen=True, slots=True)
class TakeMaximum:
    """Pool what was computed into outputs that are zero."""

    acc: Range
    output: Range
    steps: tuple[PoolStep, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """Shift, leaky ReLU and clip of a tile; ``copy`` is as large, of zeros, where one is needed."""

    acc: Range
    copy: Range


@dataclass(frozen=True, slots=True)
class StoreTile:
    """Store a tile of outputs."""

    slot: int
    box: Box


Action = (
    LoadWeights | LoadInputs | LoadSkip | Reset | AddSkip | AddBias | Multiply | SumCopies
    | TakeMaximum | Clip | StoreTile
)  # fmt: skip


@dataclass(slots=True)
class Slots:
    """Equal slots of an SRAM region, the least recently used one is given away first."""

    base: int
    size: int
    count: int
    _held: dict[Hashable, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The first element behind them."""
        return self.base + self.size * self.count

    def take(self, key: Hashable) -> tuple[int, bool]:
        """The slot of ``key`` and whether its content is already there."""
        if key in self._held:
            slot = self._held.pop(key)
            self._held[key] = slot
            return slot, True
        if len(self._held) < self.count:
            slot = self.base + len(self._held) * self.size
        else:
            slot = self._held.pop(next(iter(self._held)))
        self._held[key] = slot
        return slot, False


@dataclass(frozen=True, slots=True)
class SlotSizes:
    """SRAM elements of the largest tile, of each kind; ``scratch``: what a pool or a copy takes."""

    inputs: int
    weights: int
    acc: int
    skip: int
    scratch: int

    def needs(self, tiling: Tiling) -> dict[Space, int]:
        """Elements of every buffer that a tiling takes."""
        return {
            Space.INP: self.inputs * tiling.input_slots + self.skip * tiling.skip_slots,
            Space.WGT: self.weights * tiling.weight_slots,
            Space.OUT: self.acc * tiling.acc_slots + self.scratch,
        }


def slot_sizes(shape: ConvShape, tiling: Tiling, config: VtaConfig) -> SlotSizes:
    """Return what the slots of a tiling must hold.

    Raises
    ------
    UnsafeError
        A chunk's GEMM cannot be made safe, or takes too many micro-ops; or no position of the
        pool's window is inside the plane for all outputs.
    """
    inputs = acc = scratch = 0
    limits = _limits(shape, tiling, config)
    for box in tiling.boxes(shape.output, shape.together):
        whole = computed(shape, box)
        reach = reach_of(whole, shape.source, shape.window, tiling.strips)
        for chunk in chunks(shape, tiling, box):
            copies = _product(shape, whole, chunk, tiling, limits).copies
            if shape.pool is None:
                acc = max(acc, box.size * copies)
            else:
                acc, scratch = max(acc, box.size), max(scratch, whole.size * copies)
                _pool_steps(shape, box)
            if shape.copied:
                scratch = max(scratch, box.size)
            inputs = max(inputs, chunk.size * reach.size)
    weights = own_weights(shape, tiling.blocks, tiling.chunk)
    weights += tiling.blocks * shape.bias_blocks + (1 if shape.skip else 0)
    skip = acc_elements(tiling) if shape.skip else 0
    return SlotSizes(inputs, weights, acc, skip, scratch)


def acc_elements(tiling: Tiling) -> int:
    """Outputs of a full tile."""
    return tiling.blocks * tiling.frames * tiling.rows * tiling.columns


def own_weights(shape: ConvShape, blocks: int, chunk: int) -> int:
    """Weight elements of the kernels of a tile's chunk."""
    if shape.weights is Weights.UNIFORM:
        return 1
    met = blocks if shape.weights is Weights.DENSE else 1
    return met * chunk * prod(shape.window.kernel)


def schedule(
    shape: ConvShape,
    tiling: Tiling,
    sizes: SlotSizes,
    config: VtaConfig,
    bases: Mapping[Space, int],
) -> Iterator[Action]:
    """Yield a convolution's actions, in an order that is right one by one.

    Parameters
    ----------
    bases : the first element of every buffer that it may use.
    """
    limits = _limits(shape, tiling, config)
    input_slots = Slots(bases[Space.INP], sizes.inputs, tiling.input_slots)
    skip_slots = Slots(input_slots.end, sizes.skip, tiling.skip_slots)
    weight_slots = Slots(bases[Space.WGT], sizes.weights, tiling.weight_slots)
    acc_slots = Slots(bases[Space.OUT], sizes.acc, tiling.acc_slots)
    for index, box in enumerate(tiling.boxes(shape.output, shape.together)):
        whole = computed(shape, box)
        reach = reach_of(whole, shape.source, shape.window, tiling.strips)
        products = [
            (chunk, _product(shape, whole, chunk, tiling, limits))
            for chunk in chunks(shape, tiling, box)
        ]
        copies = max(product.copies for _, product in products)
        begin, _ = acc_slots.take(index)
        output = Range(Space.OUT, begin, box.size)
        # A pool has what it reads beside what is stored, and its bias is added behind it.
        tile = output if shape.pool is None else Range(Space.OUT, acc_slots.end, whole.size)
        bias_with = 0 if shape.pool is None else len(products) - 1
        for position, (chunk, product) in enumerate(products):
            slot, there = weight_slots.take((box.blocks, chunk))
            if not there:
                yield LoadWeights(slot, box.blocks, chunk, position == bias_with)
            inputs, there = input_slots.take((reach, chunk))
            if not there:
                yield LoadInputs(inputs, chunk, reach)
            weights = Range(Space.WGT, slot, own_weights(shape, box.blocks.size, chunk.size))
            acc = Range(Space.OUT, tile.start, tile.size * copies)
            if position == 0:
                if shape.skip:
                    skip, _ = skip_slots.take(index)
                    yield LoadSkip(skip, box)
                yield Reset(acc)
                if shape.skip:
                    at = weights.start + weights.size + shape.bias_blocks * box.blocks.size
                    operand = Range(Space.INP, skip, box.size)
                    yield AddSkip(tile, operand, Range(Space.WGT, at, 1), slot)
                if shape.pool is None:
                    yield from _add_bias(shape, output, box, weights)
            operand = Range(Space.INP, inputs, chunk.size * reach.size)
            yield Multiply(_written(shape, acc, whole, chunk), operand, weights, product.nests)
        if copies > 1:
            yield SumCopies(tile, copies)
        if shape.pool is not None:
            yield Reset(output)
            yield TakeMaximum(tile, output, _pool_steps(shape, box))
            yield from _add_bias(shape, output, box, weights)
        copy = Range(Space.OUT, acc_slots.end, box.size if shape.copied else 0)
        if shape.copied:
            yield Reset(copy)
        yield Clip(output, copy)
        yield StoreTile(begin, box)


def _written(shape: ConvShape, acc: Range, box: Box, chunk: Span) -> Range:
    """Accumulators that a chunk adds to: of a dense tile all, else from its own first block on."""
    if shape.weights is Weights.DENSE:
        return acc
    skipped = (chunk.begin - box.blocks.begin) * (box.size // box.blocks.size)
    return Range(Space.OUT, acc.start + skipped, acc.size - skipped)


def _add_bias(shape: ConvShape, output: Range, box: Box, weights: Range) -> Iterator[AddBias]:
    count = box.blocks.size
    for part in range(shape.bias_blocks):
        at = weights.start + weights.size + part * count
        yield AddBias(output, count, Range(Space.WGT, at, count), weights.start)


def _pool_steps(shape: ConvShape, box: Box) -> tuple[PoolStep, ...]:
    assert shape.pool is not None
    reach = reach_of(box, shape.target, shape.pool)
    work = window_work(shape.target, shape.pool, box, reach, box.blocks, Weights.UNIFORM)
    steps = pool_steps(work, reach)
    if steps is None:
        raise UnsafeError
    return steps


def _reuse(shape: ConvShape, tiling: Tiling) -> int:
    """How often a list of micro-ops is used, roughly; a power of two."""
    reduced = shape.group.inputs if shape.weights is Weights.DENSE else tiling.blocks
    times = prod(
        -(-total // step)
        for total, step in (
            (shape.output.channels, tiling.blocks),
            (shape.output.frames, tiling.frames),
            (shape.output.height, tiling.rows),
            (shape.output.width, tiling.columns),
            (reduced, tiling.chunk),
        )
    )
    lists = tiling.input_slots * tiling.weight_slots * tiling.acc_slots
    return 1 << (max(times // lists, 1).bit_length() - 1)


def _limits(shape: ConvShape, tiling: Tiling, config: VtaConfig) -> Limits:
    timing = Timing.of(config)
    return Limits(
        shape.distance,
        config.uop_depth // 4,
        config.acc_depth // tiling.acc_slots,
        _reuse(shape, tiling) * timing.instruction,
        UOP_BYTES / timing.bytes_per_cycle,
    )


def _product(shape: ConvShape, box: Box, chunk: Span, tiling: Tiling, limits: Limits) -> Product:
    nests, copies = list[Nest](), 1
    for work in works_of(shape, box, chunk, tiling.strips):
        product = product_of(work, box.size, limits)
        if product is None:
            raise UnsafeError
        nests += product.nests
        copies = max(copies, product.copies)
    return Product(tuple(nests), copies)
