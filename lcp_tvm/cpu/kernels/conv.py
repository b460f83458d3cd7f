"""Convolutions of blocked maps: a tile of pixels times blocks of channels stays in registers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels import by_lane
from lcp_tvm.cpu.kernels.by_lane import add_by_lane
from lcp_tvm.cpu.kernels.vmla import vmla, with_vmla
from lcp_tvm.cpu.kernels.writer import (
    Kernel,
    Operand,
    kernel,
    operands_of,
    shared,
    store,
    zero_halo,
)

ZERO = tirx.FloatImm("float32", 0.0)


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution.

    Attributes
    ----------
    data, out : layouts; data of lanes 1 is a picture of few channels.
    kernel, strides, padding, dilation : of rows and columns; padding is (top, left), which the
        halo of ``data`` has at least.
    groups : of channels, each whole blocks; as many as channels is a depthwise convolution.
    steps : after the sums.
    maps : layouts of the maps that steps add.
    shared : whether other functions read the weights too, so that their order must not depend on
        how this one computes.
    """

    data: Blocked
    out: Blocked
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    steps: tuple[Step, ...]
    maps: tuple[Blocked, ...] = ()
    shared: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether each channel is a group."""
        return self.groups > 1 and self.groups == self.data.channels

    @property
    def sums(self) -> int:
        """Channels that are read for one of the result, with empty lanes."""
        if self.depthwise:
            return 1
        return self.data.blocks * self.data.lanes // self.groups


@dataclass(frozen=True, slots=True)
class Tile:
    """What is kept in registers: ``columns`` neighbouring pixels of ``blocks`` blocks.

    ``vmla`` says that products are added by that instruction of ARMv7.
    """

    columns: int
    blocks: int
    vmla: bool = False


def interleaved(conv: Conv, blocks: int) -> int:
    """Return how many blocks' weights of an input lie beside each other: B of packed weights."""
    return 1 if conv.shared else blocks


def pack_weight(conv: Conv, tile: Tile, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return OIHW weights in the order in which they are read.

    [O / (B V), I / U, KH, KW, U, B, V] of B `interleaved` blocks and data of U lanes; depthwise
    [C / V, KH, KW, V].
    """
    out, inputs, height, width = weight.shape
    lanes = conv.out.lanes
    if conv.depthwise:
        padded = np.zeros((conv.out.blocks * lanes, height, width), np.float32)
        padded[:out] = weight[:, 0]
        return np.ascontiguousarray(padded.reshape(-1, lanes, height, width).transpose(0, 2, 3, 1))
    padded = np.zeros((conv.out.blocks * lanes, conv.sums, height, width), np.float32)
    padded[:out, :inputs] = weight
    inside = conv.data.lanes
    beside = interleaved(conv, tile.blocks)
    split = padded.reshape(-1, beside, lanes, conv.sums // inside, inside, height, width)
    return np.ascontiguousarray(split.transpose(0, 3, 5, 6, 4, 1, 2))


def conv_kernel(name: str, conv: Conv, tile: Tile) -> tirx.PrimFunc:
    """Return (data, weight, *operands of steps, out)."""
    out = conv.out
    with kernel(name) as made:
        x, w, operands = _arguments(made, conv, tile)
        y = made.buffer(out.shape)
        with made.body():
            sums = T.sblock_alloc_buffer((tile.blocks * tile.columns * out.lanes,), scope="local")
            write = _Writer(conv, tile, x, w, operands, y, sums)
            with _rows(y, out, tile) as (batch, group, row):
                write.row(batch, group, row)
    assert made.function is not None
    return made.function


def conv_pool_kernel(
    name: str, conv: Conv, tile: Tile, window: tuple[int, int], pooled: Blocked
) -> tirx.PrimFunc:
    """Return (data, weight, *operands of steps, pooled): the largest of each window of the map.

    Windows lie side by side. Only the rows of one row of windows are there at a time.
    """
    out, lanes = conv.out, conv.out.lanes
    with kernel(name) as made:
        x, w, operands = _arguments(made, conv, tile)
        y = made.buffer(pooled.shape)
        with made.body():
            sums = T.sblock_alloc_buffer((tile.blocks * tile.columns * lanes,), scope="local")
            rows = T.sblock_alloc_buffer((tile.blocks, window[0], out.width, lanes))
            with _rows(y, pooled, tile) as (batch, group, row):
                with T.serial(0, window[0]) as inner:
                    write = _Writer(conv, tile, x, w, operands, rows, sums, inner)
                    write.row(batch, group, row * window[0] + inner)
                with T.serial(0, tile.blocks) as block, T.serial(0, pooled.width) as column:

                    def largest(lane: Any, block: Any = block, column: Any = column) -> Any:
                        places = product(range(window[0]), range(window[1]))
                        values = (rows[block, i, column * window[1] + j, lane] for i, j in places)
                        return reduce(tirx.max, values)

                    at = batch, group * tile.blocks + block, row, column
                    store(y, pooled, largest, at, (), ())
    assert made.function is not None
    return made.function


def _arguments(made: Kernel, conv: Conv, tile: Tile) -> tuple[Any, Any, list[Operand]]:
    """Add (data, weight, *operands of steps)."""
    data, out = conv.data, conv.out
    x = made.buffer(data.shape)
    if conv.depthwise:
        w = made.buffer((out.blocks, *conv.kernel, out.lanes))
    else:
        inputs = (conv.sums // data.lanes, *conv.kernel, data.lanes)
        beside = interleaved(conv, tile.blocks)
        w = made.buffer((out.blocks // beside, *inputs, beside, out.lanes))
    return x, w, operands_of(made, conv.steps, out, conv.maps)


@contextmanager
def _rows(y: Any, out: Blocked, tile: Tile) -> Iterator[tuple[Any, Any, Any]]:
    """Run what is inside for (batch, group of a tile's blocks, row); zero the halo of ``y``."""
    with shared(out.batch, out.blocks // tile.blocks, out.height) as (batch, group, row):
        with T.If(row == 0), T.Then(), T.unroll(0, tile.blocks) as block:
            zero_halo(y, out, batch, group * tile.blocks + block)
        yield batch, group, row


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """Writes the code of a tile.

    Attributes
    ----------
    y : the map, or with a number ``kept`` rows of it, [block, kept, column, lane].
    """

    conv: Conv
    shape: Tile
    x: Any
    w: Any
    operands: list[Operand]
    y: Any
    sums: Any
    kept: Any = None

    def row(self, batch: Any, group: Any, row: Any) -> None:
        """Compute a row of all blocks of the tile."""
        whole, rest = divmod(self.conv.out.width, self.shape.columns)
        if whole:
            with T.serial(0, whole) as step:
                self.tile(batch, group, row, step * self.shape.columns, self.shape.columns)
        if rest:
            self.tile(batch, group, row, whole * self.shape.columns, rest)

    def tile(self, batch: Any, group: Any, row: Any, column: Any, columns: int) -> None:
        """Compute some pixels of a row, of all blocks of the tile."""
        lanes, blocks = self.conv.out.lanes, self.shape.blocks

        def place(block: Any, pixel: Any, lane: Any) -> Any:
            return (block * columns + pixel) * lanes + lane

        with T.unroll(0, blocks) as block, T.unroll(0, columns) as pixel:  # noqa: SIM117
            with T.vectorized(0, lanes) as lane:
                T.buffer_store(self.sums, ZERO, [place(block, pixel, lane)])
        self._add_products(batch, group, row, column, columns, place)
        with T.unroll(0, blocks) as block, T.unroll(0, columns) as pixel:
            store(
                self.y,
                self.conv.out,
                lambda lane: self.sums[place(block, pixel, lane)],
                (batch, group * blocks + block, row, column + pixel),
                self.conv.steps,
                self.operands,
                None if self.kept is None else (block, self.kept, column + pixel),
            )

    def _add_products(
        self, batch: Any, group: Any, row: Any, column: Any, columns: int, place: Any
    ) -> None:
        conv, blocks, lanes = self.conv, self.shape.blocks, self.conv.out.lanes
        height, width = conv.kernel

        def pixel_of(kernel_row: Any, kernel_column: Any, pixel: Any) -> list[Any]:
            halo = conv.data.halo
            return [
                row * conv.strides[0] + kernel_row * conv.dilation[0]
                + (halo.top - conv.padding[0]),
                (column + pixel) * conv.strides[1] + kernel_column * conv.dilation[1]
                + (halo.left - conv.padding[1]),
            ]  # fmt: skip

        vector = tirx.Ramp(0, 1, lanes)
        defined = with_vmla() if self.shape.vmla else nullcontext()
        if conv.depthwise:
            with defined, T.serial(0, height) as i, T.serial(0, width) as j:  # noqa: SIM117
                with T.unroll(0, columns) as pixel:
                    value = self.x[batch, group, *pixel_of(i, j, pixel), vector]
                    self._add(place(0, pixel, 0), value, self.w[group, i, j, vector])
            return
        inside = conv.data.lanes
        per_group = conv.data.blocks // conv.groups
        first = 0
        if conv.groups > 1:
            first = group * blocks // (conv.out.blocks // conv.groups) * per_group
        with (
            defined,
            T.serial(0, per_group) as outer,
            T.serial(0, height) as i,
            T.serial(0, width) as j,
        ):

            def weight(inner: Any, block: Any) -> Any:
                at = (group * blocks + block, 0) if conv.shared else (group, block)
                return self.w[at[0], outer, i, j, inner, at[1], vector]

            if inside == by_lane.LANES:
                places = [(batch, first + outer, *pixel_of(i, j, one)) for one in range(columns)]
                add_by_lane(
                    self.sums,
                    [self.x[*one, vector] for one in places],
                    weight,
                    blocks,
                    self.shape.vmla,
                )
                return
            with T.serial(0, inside) as inner, T.unroll(0, blocks) as block:  # noqa: SIM117
                with T.unroll(0, columns) as pixel:
                    value = self.x[batch, first + outer, *pixel_of(i, j, pixel), inner]
                    spread = tirx.Broadcast(value, lanes)
                    self._add(place(block, pixel, 0), spread, weight(inner, block))

    def _add(self, place: Any, value: Any, weight: Any) -> None:
        """Add the products of two vectors to the sums from a place on."""
        at = tirx.Ramp(place, 1, self.conv.out.lanes)
        if self.shape.vmla:
            total = vmla(self.sums[at], weight, value)
        else:
            total = self.sums[at] + value * weight
        T.buffer_store(self.sums, total, [at])
