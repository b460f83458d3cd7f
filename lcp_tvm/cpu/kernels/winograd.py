"""Convolutions of 3x3 by Winograd's minimal filtering, on blocked maps.

A tile of m x m results is A^T ((G g G^T) * (B^T d B)) A, where d are the m + 2 squared inputs it
depends on, and g the weights of one input channel. With m = 4 that takes 36 products instead of
144, and as each of the 36 is summed up over the channels by itself, they are 36 matrix products
over a chunk of tiles.

Weights are transformed at compile time. Shared ones lie as direct convolutions read them and are
transformed anew for each chunk, as they would take four times the memory.

Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.kernels import by_lane
from lcp_tvm.cpu.kernels.by_lane import add_by_lane
from lcp_tvm.cpu.kernels.conv import ZERO, Conv, Tile, pack_weight
from lcp_tvm.cpu.kernels.vmla import with_vmla
from lcp_tvm.cpu.kernels.writer import (
    Operand,
    finished,
    kernel,
    looped,
    operands_of,
    shared,
    store,
    zero_halo,
)

KERNEL = 3

POINTS = {2: (1.0,), 4: (2 / 3, 3 / 2)}
"""Where polynomials are evaluated besides 0 and infinity, by m: at these numbers and their
opposites. For m = 4 reciprocals near 1 lose a third of what the usual 1 and 2 lose."""

TRANSFORMED = 288 << 10
"""Bytes of weights that are transformed at a time, so that a near cache holds them."""

FLOAT = 4
"""Bytes of a number."""

CHUNKS_FOR_THREADS = 8
"""So many chunks are spread over threads evenly enough; of fewer, each is shared."""

Loop = Callable[..., AbstractContextManager[list[Any]]]


@dataclass(frozen=True, slots=True)
class Winograd:
    """How a convolution is computed.

    Attributes
    ----------
    outputs : m, rows and columns of a tile's results.
    tile : what is kept in registers; its columns are tiles of the map.
    chunk : tiles of the map that are transformed before they are multiplied, whole ``tile``s.
    """

    outputs: int
    tile: Tile
    chunk: int

    @property
    def inputs(self) -> int:
        """Rows and columns that a tile reads."""
        return self.outputs + KERNEL - 1

    @property
    def products(self) -> int:
        """Matrix products."""
        return self.inputs**2


@dataclass(frozen=True, slots=True, eq=False)
class Transforms:
    """The matrices of A^T ((G g G^T) * (B^T d B)) A, float64."""

    result: NDArray[np.float64]  # A^T, [m, m + 2]
    weight: NDArray[np.float64]  # G, [m + 2, 3]
    data: NDArray[np.float64]  # B^T, [m + 2, m + 2]


def transforms(outputs: int, shared: bool = False) -> Transforms:
    """Return the matrices for tiles of so many squared results.

    What scales each product belongs to the weights, or to the results where weights are ``shared``
    and so transformed often: a third of that arithmetic.
    """
    points = [0.0, *(sign * point for point in POINTS[outputs] for sign in (1, -1))]
    inputs = len(points) + 1
    result, weight, data = (np.zeros((rows, inputs)) for rows in (outputs, KERNEL, inputs))
    for number, point in enumerate(points):
        others = [other for other in points if other != point]
        result[:, number] = point ** np.arange(outputs)
        weight[:, number] = point ** np.arange(KERNEL)
        scaled = result if shared else weight
        scaled[:, number] /= np.prod(point - np.array(others))
        data[:-1, number] = polynomial.polyfromroots(others)
    result[-1, -1] = weight[-1, -1] = 1
    data[:, -1] = polynomial.polyfromroots(points)
    return Transforms(result, weight.T, data.T)


def has_winograd(conv: Conv) -> bool:
    """Say whether a convolution can be computed so."""
    return (
        conv.kernel == (KERNEL, KERNEL)
        and conv.strides == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.data.lanes == conv.out.lanes
    )


def tiles_across(conv: Conv, outputs: int) -> tuple[int, int]:
    """Return the rows and columns of tiles that cover the result."""
    return -(-conv.out.height // outputs), -(-conv.out.width // outputs)


def pack_for_winograd(
    conv: Conv, plan: Winograd, weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return OIHW weights in the order in which they are read.

    Transformed [O / (B V), (m + 2)^2, I, B, V] of register tiles of B blocks; shared ones as
    `pack_weight` has them.
    """
    if conv.shared:
        return pack_weight(conv, plan.tile, weight)
    matrix = transforms(plan.outputs).weight
    both = np.kron(matrix, matrix)  # of rows and columns at once
    changed = weight.reshape(-1, KERNEL**2).astype(np.float64) @ both.T
    out, inputs = weight.shape[:2]
    padded = np.zeros((conv.out.blocks * conv.out.lanes, conv.sums, plan.products), np.float32)
    padded[:out, :inputs] = changed.reshape(out, inputs, plan.products)
    split = padded.reshape(-1, plan.tile.blocks, conv.out.lanes, conv.sums, plan.products)
    return np.ascontiguousarray(split.transpose(0, 4, 3, 1, 2))


def winograd_kernel(name: str, conv: Conv, plan: Winograd) -> tirx.PrimFunc:
    """Return (data, packed weight, *operands of steps, out)."""
    return winograd_pool_kernel(name, conv, plan, (1, 1), conv.out)


def winograd_pool_kernel(
    name: str, conv: Conv, plan: Winograd, window: tuple[int, int], pooled: Blocked
) -> tirx.PrimFunc:
    """Return (data, packed weight, *operands of steps, pooled): the largest of each window.

    Windows lie side by side, and whole ones in the results of a tile.
    """
    data, out, tile = conv.data, conv.out, plan.tile
    tile_rows, tile_columns = tiles_across(conv, plan.outputs)
    tiles = tile_rows * tile_columns
    lanes = out.lanes
    with kernel(name) as made:
        x = made.buffer(data.shape)
        if conv.shared:
            w = made.buffer((out.blocks, data.blocks, *conv.kernel, lanes, 1, lanes))
        else:
            groups = out.blocks // tile.blocks
            w = made.buffer((groups, plan.products, conv.sums, tile.blocks, lanes))
        operands = operands_of(made, conv.steps, out, conv.maps)
        y = made.buffer(pooled.shape)
        with made.body():
            write = _Writer(
                conv,
                plan,
                window,
                pooled,
                (tiles, tile_columns),
                x,
                w,
                operands,
                y,
                _scratch(plan.products, tile.blocks * _deep(conv, plan) * lanes, lanes),
                _scratch(plan.products, data.blocks * plan.chunk, lanes),
                _scratch(plan.products, tile.blocks * plan.chunk, lanes),
                T.sblock_alloc_buffer((tile.blocks * tile.columns * lanes,), scope="local"),
                T.sblock_alloc_buffer((plan.products * lanes,), scope="local"),
                T.sblock_alloc_buffer((plan.inputs * KERNEL * lanes,), scope="local"),
                T.sblock_alloc_buffer((plan.products * lanes,), scope="local"),
            )
            chunks = -(-tiles // plan.chunk)
            if out.batch * chunks >= CHUNKS_FOR_THREADS:
                with shared(out.batch, chunks) as (batch, number):
                    write.chunk(batch, number, looped)
            else:
                with T.serial(0, out.batch) as batch, T.serial(0, chunks) as number:
                    write.chunk(batch, number, shared)
    assert made.function is not None
    return made.function


def _deep(conv: Conv, plan: Winograd) -> int:
    """Return the blocks of inputs whose weights are transformed at a time."""
    lanes = conv.data.lanes
    each = plan.products * plan.tile.blocks * lanes * lanes * FLOAT
    return min(max(1, TRANSFORMED // each), conv.data.blocks)


@dataclass(frozen=True, slots=True, eq=False)
class _Scratch:
    """So many vectors for each product.

    Products are an odd number of vectors apart, as a cache's sets share them evenly then. It has
    one dimension: of several TVM would drop what is not used.
    """

    buffer: Any
    apart: int

    def at(self, product: Any, place: Any) -> Any:
        """Return the index of a product's number."""
        return product * self.apart + place


def _scratch(products: int, vectors: int, lanes: int) -> _Scratch:
    apart = (vectors | 1) * lanes
    return _Scratch(T.sblock_alloc_buffer((products * apart,)), apart)


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """Writes the steps of a chunk.

    Attributes
    ----------
    window, pooled : of the result's map; windows of 1x1 leave the convolution's.
    tiles : of the map, and of a row.
    u, v, m : of each product, shared weights, what is multiplied, and the results.
    sums : registers.
    half_data, half_weight, half_result : what is half transformed. Each is of one loop, as TVM
        would share a buffer of two among the threads of both.
    """

    conv: Conv
    plan: Winograd
    window: tuple[int, int]
    pooled: Blocked
    tiles: tuple[int, int]
    x: Any
    w: Any
    operands: list[Operand]
    y: Any
    u: _Scratch
    v: _Scratch
    m: _Scratch
    sums: Any
    half_data: Any
    half_weight: Any
    half_result: Any

    def chunk(self, batch: Any, number: Any, loop: Loop) -> None:
        """Compute the results of a chunk; ``loop`` goes over what can be done at the same time."""
        out, tile, chunk = self.conv.out, self.plan.tile, self.plan.chunk
        first = number * chunk
        steps = tirx.min(
            chunk // tile.columns,
            tirx.floordiv(self.tiles[0] - first + tile.columns - 1, tile.columns),
        )
        with loop(self.conv.data.blocks) as (block,):
            self.transform(batch, block, first, steps * tile.columns)
        with loop(out.blocks // tile.blocks) as (group,):
            with T.If(number == 0), T.Then(), T.unroll(0, tile.blocks) as block:
                zero_halo(self.y, self.pooled, batch, group * tile.blocks + block)
            if self.conv.shared:
                self.multiply_shared(group, steps)
            else:
                self.multiply_all(group, steps, 0, self.conv.data.blocks)
            self.finish(batch, group, first)

    def transform(self, batch: Any, block: Any, first: Any, count: Any) -> None:
        """Compute B^T d B of tiles; after the last one it is computed again."""
        data, inputs, lanes = self.conv.data, self.plan.inputs, self.conv.data.lanes
        matrix = transforms(self.plan.outputs).data
        up = data.halo.top - self.conv.padding[0]
        left = data.halo.left - self.conv.padding[1]
        with T.serial(0, count) as number:
            row, column = self._place(tirx.min(first + number, self.tiles[0] - 1))

            def pixel(i: Any, j: Any, lane: Any) -> Any:
                # What lies beyond the map changes only results that nobody asked for.
                at = tirx.min(row + i + up, data.rows - 1)
                return self.x[batch, block, at, tirx.min(column + j + left, data.columns - 1), lane]

            with T.unroll(0, inputs) as j, T.vectorized(0, lanes) as lane:
                loaded = [pixel(i, j, lane) for i in range(inputs)]
                for i, value in enumerate(_products(matrix, loaded)):
                    T.buffer_store(self.half_data, value, [(i * inputs + j) * lanes + lane])
            with T.unroll(0, inputs) as i, T.vectorized(0, lanes) as lane:
                half = [self.half_data[(i * inputs + j) * lanes + lane] for j in range(inputs)]
                for j, value in enumerate(_products(matrix, half)):
                    at = (block * self.plan.chunk + number) * lanes + lane
                    T.buffer_store(self.v.buffer, value, [self.v.at(i * inputs + j, at)])

    def multiply_shared(self, group: Any, steps: Any) -> None:
        """Transform weights of some inputs at a time, and add their products."""
        deep, blocks = _deep(self.conv, self.plan), self.conv.data.blocks
        with T.serial(0, -(-blocks // deep)) as part:
            begin, count = part * deep, tirx.min(deep, blocks - part * deep)
            self.transform_weights(group, begin, count)
            self.multiply_all(group, steps, begin, count)

    def multiply_all(self, group: Any, steps: Any, begin: Any, count: Any) -> None:
        """Add ``count`` blocks of inputs to the sums of all products of so many register tiles."""
        with T.serial(0, self.plan.products) as product, T.serial(0, steps) as step:
            self.multiply(group, product, step * self.plan.tile.columns, begin, count)

    def transform_weights(self, group: Any, begin: Any, count: Any) -> None:
        """Compute G g G^T of some blocks' weights for ``count`` blocks of inputs."""
        inputs, lanes, blocks = self.plan.inputs, self.conv.out.lanes, self.plan.tile.blocks
        deep = _deep(self.conv, self.plan)
        matrix = transforms(self.plan.outputs, shared=True).weight
        with (
            T.serial(0, blocks) as block,
            T.serial(0, count) as outer,
            T.serial(0, lanes) as inner,
        ):
            at = group * blocks + block
            with T.unroll(0, KERNEL) as j, T.vectorized(0, lanes) as lane:
                loaded = [self.w[at, begin + outer, i, j, inner, 0, lane] for i in range(KERNEL)]
                for i, value in enumerate(_products(matrix, loaded)):
                    T.buffer_store(self.half_weight, value, [(i * KERNEL + j) * lanes + lane])
            with T.unroll(0, inputs) as i, T.vectorized(0, lanes) as lane:
                half = [self.half_weight[(i * KERNEL + j) * lanes + lane] for j in range(KERNEL)]
                for j, value in enumerate(_products(matrix, half)):
                    place = ((block * deep + outer) * lanes + inner) * lanes + lane
                    T.buffer_store(self.u.buffer, value, [self.u.at(i * inputs + j, place)])

    def multiply(self, group: Any, product: Any, first: Any, begin: Any, count: Any) -> None:
        """Add ``count`` blocks of inputs to the sums of one product of a register tile."""
        lanes, tile, chunk = self.conv.out.lanes, self.plan.tile, self.plan.chunk
        deep = _deep(self.conv, self.plan)

        def sum_at(block: Any, number: Any) -> Any:
            return tirx.Ramp((block * tile.columns + number) * lanes, 1, lanes)

        def kept_at(block: Any, number: Any) -> Any:
            place = (block * chunk + first + number) * lanes
            return tirx.Ramp(self.m.at(product, place), 1, lanes)

        with T.unroll(0, tile.blocks) as block, T.unroll(0, tile.columns) as number:
            value: Any = tirx.Broadcast(ZERO, lanes)
            if self.conv.shared:
                kept = self.m.buffer[kept_at(block, number)]
                value = tirx.if_then_else(begin == 0, value, kept)
            T.buffer_store(self.sums, value, [sum_at(block, number)])
        defined = with_vmla() if tile.vmla else nullcontext()
        with defined, T.serial(0, count) as outer:
            start = ((begin + outer) * chunk + first) * lanes

            def weight(inner: Any, block: Any) -> Any:
                place = outer * lanes + inner
                if self.conv.shared:
                    at = self.u.at(product, (block * deep * lanes + place) * lanes)
                    return self.u.buffer[tirx.Ramp(at, 1, lanes)]
                return self.w[group, product, place, block, tirx.Ramp(0, 1, lanes)]

            if lanes == by_lane.LANES:
                places = [self.v.at(product, start + one * lanes) for one in range(tile.columns)]
                inputs = [self.v.buffer[tirx.Ramp(one, 1, lanes)] for one in places]
                add_by_lane(self.sums, inputs, weight, tile.blocks, tile.vmla)
            else:
                with T.serial(0, lanes) as inner, T.unroll(0, tile.blocks) as block:  # noqa: SIM117
                    with T.unroll(0, tile.columns) as number:
                        value = self.v.buffer[self.v.at(product, start + number * lanes + inner)]
                        products = tirx.Broadcast(value, lanes) * weight(inner, block)
                        at = sum_at(block, number)
                        T.buffer_store(self.sums, self.sums[at] + products, [at])
        with T.unroll(0, tile.blocks) as block, T.unroll(0, tile.columns) as number:
            kept = self.sums[sum_at(block, number)]
            T.buffer_store(self.m.buffer, kept, [kept_at(block, number)])

    def finish(self, batch: Any, group: Any, first: Any) -> None:
        """Compute A^T m A of tiles, and what follows the convolution; store what is of the map."""
        out, outputs, inputs = self.conv.out, self.plan.outputs, self.plan.inputs
        lanes, matrix = out.lanes, transforms(outputs, self.conv.shared).result
        count = tirx.min(self.plan.chunk, self.tiles[0] - first)
        with T.serial(0, self.plan.tile.blocks) as block, T.serial(0, count) as number:
            row, column = self._place(first + number)
            with T.unroll(0, inputs) as j, T.vectorized(0, lanes) as lane:
                at = (block * self.plan.chunk + number) * lanes + lane
                summed = [self.m.buffer[self.m.at(i * inputs + j, at)] for i in range(inputs)]
                for i, value in enumerate(_sums(matrix, summed)):
                    T.buffer_store(self.half_result, value, [(i * inputs + j) * lanes + lane])
            at = batch, group * self.plan.tile.blocks + block, row, column
            high, wide = self.window
            top, left = tirx.floordiv(row, high), tirx.floordiv(column, wide)
            for i in range(0, outputs, high):
                with T.If(top + i // high < self.pooled.height), T.Then():
                    for j in range(0, outputs, wide):
                        with T.If(left + j // wide < self.pooled.width), T.Then():
                            self._store(at, i, j)

    def _store(self, at: tuple[Any, Any, Any, Any], i: int, j: int) -> None:
        """Store the largest of the window at row i and column j of a tile's results."""
        inputs, lanes = self.plan.inputs, self.conv.out.lanes
        matrix = transforms(self.plan.outputs, self.conv.shared).result
        batch, block, row, column = at
        high, wide = self.window

        def largest(lane: Any) -> Any:
            values = []
            for down, across in product(range(i, i + high), range(j, j + wide)):
                half = [self.half_result[(down * inputs + k) * lanes + lane] for k in range(inputs)]
                place = batch, block, row + down, column + across, lane
                value = _sums(matrix, half)[across]
                values.append(finished(value, place, self.conv.steps, self.operands))
            return reduce(tirx.max, values)

        top, left = tirx.floordiv(row, high) + i // high, tirx.floordiv(column, wide) + j // wide
        store(self.y, self.pooled, largest, (batch, block, top, left), (), ())

    def _place(self, number: Any) -> tuple[Any, Any]:
        """Return the first row and column of a tile's results."""
        across = self.tiles[1]
        outputs = self.plan.outputs
        return tirx.floordiv(number, across) * outputs, tirx.floormod(number, across) * outputs


def _products(matrix: NDArray[np.float64], values: Sequence[Any]) -> list[Any]:
    """Return B^T or G times a vector; rows of opposite points share their even and odd halves."""
    made: list[Any] = []
    for number, row in enumerate(matrix):
        even, odd = (_sum(row[start::2], values[start::2]) for start in (0, 1))
        if number and np.array_equal(row * (-1.0) ** np.arange(len(row)), matrix[number - 1]):
            odd = _sum(matrix[number - 1][1::2], values[1::2])
            made.append(even - odd)
        else:
            made.append(_plus(even, odd))
    return made


def _sums(matrix: NDArray[np.float64], values: Sequence[Any]) -> list[Any]:
    """Return A^T times a vector; opposite points share a sum or a difference of two."""
    middle = values[1:-1]
    pairs = list(zip(middle[::2], middle[1::2], strict=True))
    made = []
    for power, row in enumerate(matrix):
        folded = [one + other if power % 2 == 0 else one - other for one, other in pairs]
        made.append(_sum([row[0], *row[1:-1:2], row[-1]], [values[0], *folded, values[-1]]))
    return made


def _sum(factors: Sequence[float], values: Sequence[Any]) -> Any:
    """Return the sum of products as an expression, None without any."""
    total = None
    for factor, value in zip(factors, values, strict=True):
        if factor != 0:
            whole = value if factor == 1 else value * tirx.FloatImm("float32", float(factor))
            total = _plus(total, whole)
    return total


def _plus(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return one + other
