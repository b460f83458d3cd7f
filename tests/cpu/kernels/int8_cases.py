"""Kernels of quantised maps with arguments and expected results, exact to the bit.

Reference results are int64: sums that would leave 32 bits do not occur in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.dot import QUAD, Dot, Integers
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile, conv_int8_kernel, pack_int8
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.dense_int8 import dense_int8_kernel, pack_matrix_int8
from lcp_tvm.cpu.kernels.move_int8 import (
    block_int8_kernel,
    concat_int8_kernel,
    elementwise_int8_kernel,
    quantise_kernel,
    unblock_int8_kernel,
)
from lcp_tvm.cpu.kernels.pool import Pool
from lcp_tvm.cpu.kernels.pool_int8 import max_pool_int8_kernel, sum_int8_kernel
from tests.cpu.kernels.reference import convolve, pooled

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Int8Case:
    """A kernel of some name, what it is called with, and what it must give.

    Attributes
    ----------
    layout : of the result as it lies in memory; None: plain int8.
    """

    make: Callable[[str], tirx.PrimFunc]
    arguments: tuple[Array, ...]
    layout: Blocked | None
    expected: Integers

    def empty(self) -> Array:
        """Return a result that is wrong everywhere the kernel does not write."""
        if self.layout is None:
            return (~self.expected).astype(np.int8)
        return np.full(self.layout.shape, 85, self.layout.dtype)

    def check(self, result: Array) -> None:
        """See that a result is right."""
        found = result if self.layout is None else from_bytes(result, self.layout)
        np.testing.assert_array_equal(found, self.expected)


def to_bytes(values: Integers, layout: Blocked, rng: np.random.Generator) -> Array:
    """Return an NCHW map as it lies in memory; lanes after the last channel hold anything."""
    halo, lanes = layout.halo, layout.lanes
    lying = np.full(layout.shape, layout.zero, np.int64)
    inside = lying[:, :, halo.top : halo.top + layout.height, halo.left : halo.left + layout.width]
    inside[:] = rng.integers(-128, 128, inside.shape) + layout.zero
    for channel in range(layout.channels):
        inside[:, channel // lanes, :, :, channel % lanes] = values[:, channel] + layout.zero
    return lying.astype(layout.dtype)


def from_bytes(lying: Array, layout: Blocked) -> Integers:
    """Return the NCHW map, having seen that its halo is zero."""
    halo, lanes = layout.halo, layout.lanes
    values = lying.astype(np.int64) - layout.zero
    around = values.copy()
    rows = slice(halo.top, halo.top + layout.height)
    columns = slice(halo.left, halo.left + layout.width)
    around[:, :, rows, columns] = 0
    assert not around.any()
    channels = range(layout.channels)
    return np.stack([values[:, one // lanes, rows, columns, one % lanes] for one in channels], 1)


def stepped_integers(value: Integers, steps: Sequence[Step], operands: Sequence[Integers]) -> Any:
    """Return what the steps make of sums."""
    left = iter(operands)
    for step in steps:
        numbers = [int(number) for number in step.numbers]
        match step.kind:
            case "bias":
                value = value + next(left)
            case "add":
                value = value + (next(left) << numbers[0])
            case "multiply":
                value = value * numbers[0]
            case "shift":
                value = value >> numbers[0] if numbers[0] > 0 else value << -numbers[0]
            case "leaky_relu":
                value = np.maximum((value * numbers[0] + numbers[1]) >> numbers[2], value)
            case "clip":
                value = np.clip(value, *numbers)
    return value


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where numbers come from: a seed, and whether they are the extremes alone."""

    rng: np.random.Generator
    extreme: bool

    def int8(self, *shape: int) -> Integers:
        """Return numbers of 8 bits."""
        if self.extreme:
            return self.rng.choice(np.array([-128, -128, 127]), shape)
        return self.rng.integers(-128, 128, shape)

    def operands(
        self, steps: Sequence[Step], maps: Sequence[Blocked], out: Blocked
    ) -> tuple[list[Array], list[Integers]]:
        """Return what steps read, as it lies in memory and as numbers."""
        left, lying, values = iter(maps), [], []
        for step in steps:
            if step.kind == "add":
                layout = next(left)
                values.append(self.int8(out.batch, out.channels, out.height, out.width))
                lying.append(to_bytes(values[-1], layout, self.rng))
            elif step.kind == "bias":
                bias = self.rng.integers(-(2**20), 2**20, out.channels)
                values.append(bias.reshape(1, -1, 1, 1))
                lying.append(_in_lanes(bias, out))
        return lying, values


def _in_lanes(values: Integers, out: Blocked) -> Array:
    padded = np.zeros(out.blocks * out.lanes, np.int64)
    padded[: out.channels] = values
    return padded.astype(np.int32).reshape(out.blocks, out.lanes)


def conv_case(conv: Int8Conv, tile: Int8Tile, numbers: Numbers) -> Int8Case:
    """Return a convolution; its first step is a bias, which takes off what the map's zero adds."""
    data, out = conv.data, conv.out
    x = numbers.int8(data.batch, data.channels, data.height, data.width)
    inputs = 1 if conv.depthwise else data.channels // conv.groups
    weight = numbers.int8(out.channels, inputs, *conv.kernel)
    lying, values = numbers.operands(conv.steps, conv.maps, out)
    lying[0] = lying[0] - _in_lanes(data.zero * weight.sum(axis=(1, 2, 3)), out)
    sums = convolve(conv, x.astype(float), weight.astype(float)).astype(np.int64)
    exact = replace(conv, dot=conv.dot.exact_for(weight))
    return Int8Case(
        lambda name: conv_int8_kernel(name, exact, tile),
        (to_bytes(x, data, numbers.rng), pack_int8(exact, tile, weight), *lying),
        out,
        stepped_integers(sums, conv.steps, values),
    )


def dense_case(dense: Dense, dot: Dot, numbers: Numbers) -> Int8Case:
    """Return a dense layer with a bias."""
    x, weight = (
        numbers.int8(dense.batch, dense.inputs),
        numbers.int8(dense.inputs, dense.outputs),
    )
    bias = numbers.rng.integers(-(2**20), 2**20, dense.outputs)
    zero = Blocked(1, 1, 1, 1, QUAD, dtype=dot.dtype).zero
    lying = np.zeros(dense.padded, np.int32)
    lying[: dense.outputs] = bias - zero * weight.sum(axis=0)
    exact = dot.exact_for(weight)
    return Int8Case(
        lambda name: dense_int8_kernel(name, dense, exact),
        (x.astype(np.int8), pack_matrix_int8(dense, weight, exact), lying),
        None,
        stepped_integers(x @ weight, dense.steps, [bias]),
    )


def elementwise_case(
    data: Blocked,
    out: Blocked,
    steps: tuple[Step, ...],
    maps: tuple[Blocked, ...],
    numbers: Numbers,
) -> Int8Case:
    """Return steps on a map."""
    x = numbers.int8(data.batch, data.channels, data.height, data.width)
    lying, values = numbers.operands(steps, maps, out)
    return Int8Case(
        lambda name: elementwise_int8_kernel(name, data, out, steps, maps),
        (to_bytes(x, data, numbers.rng), *lying),
        out,
        stepped_integers(x, steps, values),
    )


def sum_case(data: Blocked, out: Blocked, steps: tuple[Step, ...], numbers: Numbers) -> Int8Case:
    """Return sums over maps."""
    x = numbers.int8(data.batch, data.channels, data.height, data.width)
    lying, values = numbers.operands(steps, (), out)
    return Int8Case(
        lambda name: sum_int8_kernel(name, data, out, steps, ()),
        (to_bytes(x, data, numbers.rng), *lying),
        out,
        stepped_integers(x.sum(axis=(2, 3), keepdims=True), steps, values),
    )


def pool_case(pool: Pool, numbers: Numbers) -> Int8Case:
    """Return a max pool."""
    data = pool.data
    x = numbers.int8(data.batch, data.channels, data.height, data.width)
    return Int8Case(
        lambda name: max_pool_int8_kernel(name, pool),
        (to_bytes(x, data, numbers.rng),),
        pool.out,
        pooled(pool, x.astype(float)).astype(np.int64),
    )


def concat_case(parts: Sequence[Blocked], out: Blocked, numbers: Numbers) -> Int8Case:
    """Return maps beside each other."""
    maps = [numbers.int8(one.batch, one.channels, one.height, one.width) for one in parts]
    lying = [to_bytes(x, one, numbers.rng) for x, one in zip(maps, parts, strict=True)]
    return Int8Case(
        lambda name: concat_int8_kernel(name, parts, out),
        tuple(lying),
        out,
        np.concatenate(maps, axis=1),
    )


def block_case(out: Blocked, numbers: Numbers) -> Int8Case:
    """Return a map that comes into blocks."""
    x = numbers.int8(out.batch, out.channels, out.height, out.width)
    return Int8Case(lambda name: block_int8_kernel(name, out), (x.astype(np.int8),), out, x)


def unblock_case(data: Blocked, numbers: Numbers) -> Int8Case:
    """Return a map that leaves its blocks."""
    x = numbers.int8(data.batch, data.channels, data.height, data.width)
    return Int8Case(
        lambda name: unblock_int8_kernel(name, data),
        (to_bytes(x, data, numbers.rng),),
        None,
        x,
    )


def quantise_case(out: Blocked, vector: int, numbers: Numbers) -> Int8Case:
    """Return a picture that becomes int8: halves, which round to even, and what is clipped."""
    shape = out.batch, out.channels, out.height, out.width
    x = (numbers.rng.integers(-600, 600, shape) / 8).astype(np.float32)
    return Int8Case(
        lambda name: quantise_kernel(name, out, 4.0, vector),
        (x,),
        out,
        np.clip(np.round(x * np.float32(4)), -128, 127).astype(np.int64),
    )
