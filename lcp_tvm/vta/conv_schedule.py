"""What a tiled convolution does, in order: loads, GEMMs, epilogues and stores of tiles.

    load weights, inputs | load skip | gemm | gemm | finish | store | load weights ..

`search` counts the cycles of such a list, `emit_conv` turns it into instructions: what lies in
which slot is decided here, once for both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from math import prod

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Weights
from lcp_tvm.vta.nest import Limits, Nest, Product, product_of
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import Box, ConvShape, Reach, Span, Tiling, chunks, reach_of, work_of
from lcp_tvm.vta.timing import Timing

SKIP_SLOTS = 2
"""Tiles of a residual operand on chip: one in use, one loading."""

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
class Multiply:
    """One chunk of a tile; the first of a tile also resets, and adds skip and bias."""

    acc: int
    inputs: Range
    weights: Range
    skip: int | None
    box: Box
    nests: tuple[Nest, ...]
    copies: int
    first: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Add up the copies of a tile, shift and clip."""

    acc: int
    box: Box
    copies: int


@dataclass(frozen=True, slots=True)
class StoreTile:
    """Store a tile of outputs."""

    acc: int
    box: Box


Action = LoadWeights | LoadInputs | LoadSkip | Multiply | Finish | StoreTile


@dataclass(slots=True)
class Slots:
    """Equal slots of an SRAM region, the least recently used one is given away first."""

    base: int
    size: int
    count: int
    _held: dict[Hashable, int] = field(default_factory=dict)

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
    """SRAM elements of the largest tile, of each kind."""

    inputs: int
    weights: int
    acc: int
    skip: int

    def inputs_used(self, tiling: Tiling) -> int:
        """Input elements that a tiling takes, its residual operands included."""
        return self.inputs * tiling.input_slots + self.skip * SKIP_SLOTS


def slot_sizes(shape: ConvShape, tiling: Tiling, config: VtaConfig) -> SlotSizes:
    """Return what the slots of a tiling must hold.

    Raises
    ------
    UnsafeError
        A chunk's GEMM cannot be made safe, or takes too many micro-ops.
    """
    inputs = acc = 0
    limits = _limits(shape, tiling, config)
    for box in tiling.boxes(shape.target):
        reach = reach_of(box, shape.source, shape.window)
        for chunk in chunks(shape, tiling, box):
            acc = max(acc, box.size * _product(shape, box, chunk, limits).copies)
            inputs = max(inputs, chunk.size * reach.size)
    weights = own_weights(shape, tiling.blocks, tiling.chunk)
    weights += tiling.blocks * shape.bias_blocks + (1 if shape.skip else 0)
    skip = tiling.blocks * tiling.rows * tiling.columns if shape.skip else 0
    return SlotSizes(inputs, weights, acc, skip)


def own_weights(shape: ConvShape, blocks: int, chunk: int) -> int:
    """Weight elements of the kernels of a tile's chunk."""
    if shape.weights is Weights.UNIFORM:
        return 1
    return blocks * chunk * prod(shape.window.kernel)


def schedule(
    shape: ConvShape,
    tiling: Tiling,
    sizes: SlotSizes,
    config: VtaConfig,
    bases: tuple[int, int, int] = (0, 0, 0),
) -> Iterator[Action]:
    """Yield a convolution's actions, in an order that is right one by one.

    Parameters
    ----------
    bases : first input, weight and accumulator element that it may use.
    """
    limits = _limits(shape, tiling, config)
    input_slots = Slots(bases[0], sizes.inputs, tiling.input_slots)
    skip_slots = Slots(bases[0] + sizes.inputs * tiling.input_slots, sizes.skip, SKIP_SLOTS)
    weight_slots = Slots(bases[1], sizes.weights, tiling.weight_slots)
    acc_slots = Slots(bases[2], sizes.acc, tiling.acc_slots)
    for index, box in enumerate(tiling.boxes(shape.target)):
        reach = reach_of(box, shape.source, shape.window)
        products = [
            (chunk, _product(shape, box, chunk, limits)) for chunk in chunks(shape, tiling, box)
        ]
        copies = max(product.copies for _, product in products)
        acc, _ = acc_slots.take(index)
        for position, (chunk, product) in enumerate(products):
            first = position == 0
            weights, there = weight_slots.take((box.blocks, chunk))
            if not there:
                yield LoadWeights(weights, box.blocks, chunk, first)
            inputs, there = input_slots.take((reach, chunk))
            if not there:
                yield LoadInputs(inputs, chunk, reach)
            skip = None
            if first and shape.skip:
                skip, _ = skip_slots.take(index)
                yield LoadSkip(skip, box)
            yield Multiply(
                acc,
                Range(Space.INP, inputs, chunk.size * reach.size),
                Range(Space.WGT, weights, own_weights(shape, box.blocks.size, chunk.size)),
                skip,
                box,
                product.nests,
                copies,
                first,
            )
        yield Finish(acc, box, copies)
        yield StoreTile(acc, box)


def _reuse(shape: ConvShape, tiling: Tiling) -> int:
    """How often a list of micro-ops is used, roughly; a power of two."""
    times = prod(
        -(-total // step)
        for total, step in (
            (shape.target.channels, tiling.blocks),
            (shape.target.height, tiling.rows),
            (shape.target.width, tiling.columns),
            (shape.source.channels, tiling.chunk),
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


def _product(shape: ConvShape, box: Box, chunk: Span, limits: Limits) -> Product:
    product = product_of(work_of(shape, box, chunk), box.size, limits)
    if product is None:
        raise UnsafeError
    return product
