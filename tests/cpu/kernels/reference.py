"""What the kernels compute, in numpy's float64."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.pool import Pool

Array = NDArray[np.float64]


def convolve(conv: Conv, x: Array, weight: Array) -> Array:
    """Return the sums of a convolution, NCHW; ``weight`` is OIHW."""
    out, (top, left) = conv.out, conv.padding
    (down, across), dilation = conv.strides, conv.dilation
    # As wide as any window reaches.
    below, right = (out.height - 1) * down, (out.width - 1) * across
    padded = np.zeros(
        (
            *x.shape[:2],
            max(top + x.shape[2], below + (conv.kernel[0] - 1) * dilation[0] + 1),
            max(left + x.shape[3], right + (conv.kernel[1] - 1) * dilation[1] + 1),
        )
    )
    padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    grouped = padded.reshape(x.shape[0], conv.groups, -1, *padded.shape[2:])
    kernels = weight.reshape(conv.groups, -1, *weight.shape[1:])
    total = np.zeros((x.shape[0], *kernels.shape[:2], out.height, out.width))
    for i, j in product(*map(range, conv.kernel)):
        rows = slice(i * dilation[0], i * dilation[0] + below + 1, down)
        columns = slice(j * dilation[1], j * dilation[1] + right + 1, across)
        total += np.einsum(
            "ngihw,goi->ngohw", grouped[..., rows, columns], kernels[..., i, j], optimize=True
        )
    return total.reshape(x.shape[0], -1, out.height, out.width)


def pooled(pool: Pool, x: Array) -> Array:
    """Return a pool's result: of what of each window is inside of the map."""
    out, around = pool.out, pool.counted
    result = np.empty((*x.shape[:2], out.height, out.width))
    for row, column in product(range(out.height), range(out.width)):
        rows, columns = (
            range(place * stride - before, place * stride - before + size)
            for place, stride, before, size in zip(
                (row, column), pool.strides, pool.padding, pool.window, strict=True
            )
        )
        window = x[:, :, max(rows[0], 0) : rows[-1] + 1, max(columns[0], 0) : columns[-1] + 1]
        if pool.kind == "max":
            result[:, :, row, column] = window.max(axis=(2, 3))
            continue
        counted = sum(-around.top <= one < x.shape[2] + around.bottom for one in rows)
        counted *= sum(-around.left <= one < x.shape[3] + around.right for one in columns)
        result[:, :, row, column] = window.sum(axis=(2, 3)) / counted
    return result


def stepped(value: Array, steps: Sequence[Step], operands: Iterable[Array]) -> Array:
    """Return elements after an epilogue; operands are of the result's shape or broadcast to it."""
    left = iter(operands)
    for step in steps:
        match step.kind:
            case "bias" | "add":
                value = value + next(left)
            case "scale":
                value = value * next(left)
            case "relu":
                value = np.maximum(value, 0)
            case "clip":
                value = np.clip(value, *step.numbers)
            case "leaky_relu":
                value = np.where(value > 0, value, value * step.numbers[0])
    return value
