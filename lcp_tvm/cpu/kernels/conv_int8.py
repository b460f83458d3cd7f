"""Convolutions of quantised blocked maps: int32 sums of a tile of pixels stay in registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.dot import QUAD, Dot, Integers, Load
from lcp_tvm.cpu.kernels.conv import Conv, interleaved
from lcp_tvm.cpu.kernels.integer_epilogue import store_integer
from lcp_tvm.cpu.kernels.writer import Operand, kernel, operands_of, shared, zero_halo


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Conv(Conv):
    """A convolution of bytes.

    Attributes
    ----------
    dot : how they are multiplied.
    """

    dot: Dot

    @classmethod
    def of(cls, conv: Conv, dot: Dot) -> Int8Conv:
        """Return a convolution with its products."""
        return cls(**{field.name: getattr(conv, field.name) for field in fields(conv)}, dot=dot)


@dataclass(frozen=True, slots=True)
class Int8Tile:
    """What is kept in registers: ``columns`` neighbouring pixels of ``blocks`` blocks."""

    columns: int
    blocks: int


def pack_int8(conv: Int8Conv, tile: Int8Tile, weight: Integers) -> Integers:
    """Return OIHW weights in the order in which they are read.

    [O / (B V), I / U, KH, KW, U / 4, B, 4 V] of B `interleaved` blocks and data of U lanes;
    depthwise [C / V, KH, KW, V].
    """
    out, inputs, height, width = weight.shape
    lanes, dot = conv.out.lanes, conv.dot
    if conv.depthwise:
        single = np.zeros((conv.out.blocks * lanes, height, width), dot.single)
        single[:out] = weight[:, 0]
        return np.ascontiguousarray(single.reshape(-1, lanes, height, width).transpose(0, 2, 3, 1))
    padded = np.zeros((conv.out.blocks * lanes, conv.sums, height, width), np.int8)
    padded[:out, :inputs] = weight
    inside = conv.data.lanes
    beside = interleaved(conv, tile.blocks)
    shape = (-1, beside, lanes, conv.sums // inside, inside // QUAD, QUAD, height, width)
    quads = padded.reshape(shape).transpose(0, 3, 6, 7, 4, 1, 2, 5)
    return np.ascontiguousarray(dot.pack(quads))


def conv_int8_kernel(name: str, conv: Int8Conv, tile: Int8Tile) -> tirx.PrimFunc:
    """Return (data, weight, *operands of steps, out)."""
    data, out, dot = conv.data, conv.out, conv.dot
    height, width = conv.kernel
    groups = out.blocks // tile.blocks
    with kernel(name) as made:
        x = made.buffer(data.shape, data.dtype)
        if conv.depthwise:
            w = made.buffer((out.blocks, height, width, out.lanes), dot.single)
        else:
            inputs = (conv.sums // data.lanes, height, width, data.lanes // QUAD)
            beside = interleaved(conv, tile.blocks)
            w = made.buffer((out.blocks // beside, *inputs, beside, QUAD * out.lanes), dot.weights)
        operands = operands_of(made, conv.steps, out, conv.maps)
        y = made.buffer(out.shape, out.dtype)
        with made.body():
            sums = sums_of(tile.blocks * tile.columns, out.lanes)
            write = _Writer(conv, tile, x, w, operands, y, sums)
            with shared(out.batch, groups, out.height) as (batch, group, row):
                with T.If(row == 0), T.Then(), T.unroll(0, tile.blocks) as block:
                    zero_halo(y, out, batch, group * tile.blocks + block)
                whole, rest = divmod(out.width, tile.columns)
                if whole:
                    with T.serial(0, whole) as step:
                        write.tile(batch, group, row, step * tile.columns, tile.columns)
                if rest:
                    write.tile(batch, group, row, whole * tile.columns, rest)
    assert made.function is not None
    return made.function


def sums_of(count: int, lanes: int) -> list[Any]:
    """Return vectors of int32 to add to: one by one they are small enough to be registers."""
    return [T.sblock_alloc_buffer((lanes,), "int32") for _ in range(count)]


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """Writes the code of a tile."""

    conv: Int8Conv
    shape: Int8Tile
    x: Any
    w: Any
    operands: list[Operand]
    y: Any
    sums: Sequence[Any]

    def tile(self, batch: Any, group: Any, row: Any, column: Any, columns: int) -> None:
        """Compute some pixels of a row, of all blocks of the tile."""
        lanes, blocks = self.conv.out.lanes, self.shape.blocks
        vector = tirx.Ramp(0, 1, lanes)
        tile = [(block, pixel) for block in range(blocks) for pixel in range(columns)]
        sums = dict(zip(tile, self.sums, strict=False))  # what is left of a row has fewer
        for one in sums.values():
            T.buffer_store(one, tirx.Broadcast(tirx.IntImm("int32", 0), lanes), [vector])
        if self.conv.depthwise:
            self._add_singles(batch, group, row, column, sums)
        else:
            self._add_quads(batch, group, row, column, sums)
        for (block, pixel), one in sums.items():
            at = batch, group * blocks + block, row, column + pixel
            store_integer(self.y, self.conv.out, one[vector], at, self.conv.steps, self.operands)

    def _pixel(self, row: Any, column: Any, kernel_row: Any, kernel_column: Any) -> list[Any]:
        """Return where a product's input lies."""
        conv, halo = self.conv, self.conv.data.halo
        return [
            row * conv.strides[0] + kernel_row * conv.dilation[0] + (halo.top - conv.padding[0]),
            column * conv.strides[1]
            + kernel_column * conv.dilation[1]
            + (halo.left - conv.padding[1]),
        ]

    def _add_singles(
        self, batch: Any, group: Any, row: Any, column: Any, sums: Mapping[tuple[int, int], Any]
    ) -> None:
        height, width = self.conv.kernel
        lanes = tirx.Ramp(0, 1, self.conv.out.lanes)
        with T.serial(0, height) as i:
            # Neighbours read the same inputs, which they find in registers.
            for j, ((_, pixel), one) in product(range(width), sums.items()):
                value = self.x[batch, group, *self._pixel(row, column + pixel, i, j), lanes]
                weight = self.w[group, i, j, lanes]
                T.buffer_store(one, self.conv.dot.add_single(one[lanes], value, weight), [lanes])

    def _add_quads(
        self, batch: Any, group: Any, row: Any, column: Any, sums: Mapping[tuple[int, int], Any]
    ) -> None:
        conv, blocks = self.conv, self.shape.blocks
        height, width = conv.kernel
        lanes = tirx.Ramp(0, 1, conv.out.lanes)
        per_group = conv.data.blocks // conv.groups
        first = 0
        if conv.groups > 1:
            first = group * blocks // (conv.out.blocks // conv.groups) * per_group
        with (
            T.serial(0, per_group) as outer,
            T.serial(0, height) as i,
            T.serial(0, width) as j,
            T.serial(0, conv.data.lanes // QUAD) as quad,
        ):

            def load(block: int) -> Load:
                row, beside = (group * blocks + block, 0) if conv.shared else (group, block)
                at = [row, outer, i, j, quad, beside]
                return lambda begin, size: self.w[*at, tirx.Ramp(begin, 1, size)]

            def inputs(pixel: int) -> Load:
                at = [batch, first + outer, *self._pixel(row, column + pixel, i, j)]
                return lambda begin, size: self.x[*at, tirx.Ramp(quad * QUAD + begin, 1, size)]

            # A pixel's inputs meet all blocks before the next one's: fewer are held at a time.
            for (block, pixel), one in sorted(sums.items(), key=lambda item: item[0][1]):
                spread = self.conv.dot.spread(inputs(pixel))
                T.buffer_store(one, self.conv.dot.add(one[lanes], spread, load(block)), [lanes])
