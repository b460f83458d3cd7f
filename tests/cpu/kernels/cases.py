"""Kernels with arguments and expected results.

All numbers are small integers, slopes and bounds included, so that no order of additions rounds:
results are exact but for means and Winograd's convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import tirx

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv, Tile, conv_kernel, pack_weight
from lcp_tvm.cpu.kernels.dense import Dense, dense_kernel, pack_matrix
from lcp_tvm.cpu.kernels.move import (
    block_kernel,
    concat_kernel,
    elementwise_kernel,
    unblock_kernel,
)
from lcp_tvm.cpu.kernels.pool import Pool, mean_kernel, pool_kernel
from lcp_tvm.cpu.kernels.winograd import Winograd, pack_for_winograd, winograd_kernel
from tests.cpu.kernels.blocks import Floats, from_blocks, to_blocks
from tests.cpu.kernels.reference import Array, convolve, pooled, stepped

WINOGRAD_ERROR = 1e-6
"""Of what a sum would be if all of its products were positive."""


@dataclass(frozen=True, slots=True)
class Case:
    """A kernel of some name, what it is called with, and what it must give.

    Attributes
    ----------
    shape : of the result as it lies in memory, which ``layout`` describes; None: plainly.
    error : that every element may have, besides a rounding.
    """

    make: Callable[[str], tirx.PrimFunc]
    arguments: tuple[Floats, ...]
    shape: tuple[int, ...]
    layout: Blocked | None
    expected: Array
    error: float = 0.0

    def check(self, result: Floats) -> None:
        """See that a result is right."""
        values = result if self.layout is None else from_blocks(result, self.layout)
        np.testing.assert_allclose(values, self.expected, rtol=1e-6, atol=self.error)


def conv_case(conv: Conv, tile: Tile, rng: np.random.Generator) -> Case:
    """Return a convolution with steps."""
    x, weight = _map(conv.data, rng), _integers(rng, (conv.out.channels, 1, *conv.kernel))
    if not conv.depthwise:
        inputs = conv.data.channels // conv.groups
        weight = _integers(rng, (conv.out.channels, inputs, *conv.kernel))
    lying, values = _operands(conv.steps, conv.maps, conv.out, rng)
    expected = stepped(convolve(conv, x.astype(float), weight.astype(float)), conv.steps, values)
    return Case(
        lambda name: conv_kernel(name, conv, tile),
        (to_blocks(x, conv.data), pack_weight(conv, tile, weight), *lying),
        conv.out.shape,
        conv.out,
        expected,
    )


def winograd_case(conv: Conv, plan: Winograd, rng: np.random.Generator) -> Case:
    """Return a convolution by Winograd, which rounds, with steps."""
    x = _map(conv.data, rng)
    weight = _integers(rng, (conv.out.channels, conv.data.channels, *conv.kernel))
    lying, values = _operands(conv.steps, conv.maps, conv.out, rng)
    exact = x.astype(float), weight.astype(float)
    readers = [step for step in conv.steps if step.has_operand]
    scaled = [
        abs(one).max() for step, one in zip(readers, values, strict=True) if step.kind == "scale"
    ]
    most = convolve(conv, *map(abs, exact)).max() * np.prod(scaled)
    return Case(
        lambda name: winograd_kernel(name, conv, plan),
        (to_blocks(x, conv.data), pack_for_winograd(conv, plan, weight), *lying),
        conv.out.shape,
        conv.out,
        stepped(convolve(conv, *exact), conv.steps, values),
        WINOGRAD_ERROR * most,
    )


def elementwise_case(
    data: Blocked,
    out: Blocked,
    steps: tuple[Step, ...],
    maps: tuple[Blocked, ...],
    rng: np.random.Generator,
) -> Case:
    """Return steps on a map."""
    x = _map(data, rng)
    lying, values = _operands(steps, maps, out, rng)
    return Case(
        lambda name: elementwise_kernel(name, data, out, steps, maps),
        (to_blocks(x, data), *lying),
        out.shape,
        out,
        stepped(x.astype(float), steps, values),
    )


def pool_case(pool: Pool, rng: np.random.Generator) -> Case:
    """Return a pool."""
    x = _map(pool.data, rng)
    return Case(
        lambda name: pool_kernel(name, pool),
        (to_blocks(x, pool.data),),
        pool.out.shape,
        pool.out,
        pooled(pool, x.astype(float)),
    )


def mean_case(data: Blocked, rng: np.random.Generator) -> Case:
    """Return the mean of each channel."""
    x = _map(data, rng)
    expected = x.mean(axis=(2, 3), keepdims=True, dtype=float)
    return Case(
        lambda name: mean_kernel(name, data), (to_blocks(x, data),), expected.shape, None, expected
    )


def block_case(out: Blocked, rng: np.random.Generator) -> Case:
    """Return a map on its way into blocks."""
    x = _map(out, rng)
    return Case(lambda name: block_kernel(name, out), (x,), out.shape, out, x.astype(float))


def unblock_case(data: Blocked, rng: np.random.Generator) -> Case:
    """Return a map on its way out of blocks."""
    x = _map(data, rng)
    return Case(
        lambda name: unblock_kernel(name, data),
        (to_blocks(x, data),),
        x.shape,
        None,
        x.astype(float),
    )


def concat_case(parts: Sequence[Blocked], out: Blocked, rng: np.random.Generator) -> Case:
    """Return maps side by side."""
    maps = [_map(part, rng) for part in parts]
    return Case(
        lambda name: concat_kernel(name, parts, out),
        tuple(map(to_blocks, maps, parts)),
        out.shape,
        out,
        np.concatenate(maps, axis=1).astype(float),
    )


def dense_case(dense: Dense, rng: np.random.Generator) -> Case:
    """Return a dense layer."""
    x = _integers(rng, (dense.batch, dense.inputs))
    weight = _integers(rng, (dense.inputs, dense.outputs))
    operands = [_integers(rng, (dense.outputs,)) for step in dense.steps if step.has_operand]
    padded = [np.pad(one, (0, dense.padded - dense.outputs)) for one in operands]
    expected = stepped(
        x.astype(float) @ weight, dense.steps, [one.astype(float) for one in operands]
    )
    return Case(
        lambda name: dense_kernel(name, dense),
        (x, pack_matrix(dense, weight), *padded),
        expected.shape,
        None,
        expected,
    )


def _integers(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    return rng.integers(-8, 9, shape).astype(np.float32)


def _map(layout: Blocked, rng: np.random.Generator) -> Floats:
    return _integers(rng, (layout.batch, layout.channels, layout.height, layout.width))


def _operands(
    steps: Sequence[Step], maps: Sequence[Blocked], out: Blocked, rng: np.random.Generator
) -> tuple[list[Floats], list[Array]]:
    """Return what steps read, as it lies in memory and as it broadcasts to NCHW."""
    left, lying, values = iter(maps), [], []
    for step in steps:
        if step.kind == "add":
            layout = next(left)
            value = _map(layout, rng)
            lying.append(to_blocks(value, layout))
            values.append(value.astype(float))
        elif step.has_operand:
            value = _integers(rng, (out.channels,))
            padded = np.pad(value, (0, out.blocks * out.lanes - out.channels))
            lying.append(padded.reshape(out.blocks, out.lanes))
            values.append(value.astype(float).reshape(-1, 1, 1))
    return lying, values
