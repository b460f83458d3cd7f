"""Weights and biases in the accelerator's blocks."""

from __future__ import annotations

import numpy as np

from lcp_tvm.vta.layer import Conv, Weights
from lcp_tvm.vta.tiling import Span

_UNIT = 127
"""What the constant input block holds in every lane but the first, which holds 1."""


def constant_input(block: int) -> np.ndarray:
    """The input element that bias weights meet: ``[1, 127, 127, ...]`` int8."""
    element = np.full(block, _UNIT, dtype=np.int8)
    element[0] = 1
    return element


def bias_block_count(bias: np.ndarray, block: int) -> int:
    """Weight elements per output block that represent the bias; 0 when it is all zero."""
    if not bias.any():
        return 0
    quotient = np.abs(_divide(bias)[0]).max()
    return max(1, -(-int(quotient) // (_UNIT * (block - 1))))


def _divide(bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bias as ``127 q + r`` with ``|r| <= 63``."""
    wide = bias.astype(np.int64)
    quotient = np.floor_divide(wide + _UNIT // 2, _UNIT)
    return quotient, wide - quotient * _UNIT


def pack_bias(bias: np.ndarray, count: int, block: int) -> np.ndarray:
    """Bias as ``count`` weight elements: their dot with `constant_input` adds up to it.

    Parameters
    ----------
    bias : int32 ``[blocks * block]``.

    Returns
    -------
    int8 ``[count, blocks, block_out, block_in]``.
    """
    quotient, rest = _divide(bias)
    lanes = np.zeros((count, bias.size, block), dtype=np.int8)
    lanes[0, :, 0] = rest
    for part in range(count):
        for lane in range(1, block):
            step = np.clip(quotient, -_UNIT, _UNIT)
            lanes[part, :, lane] = step
            quotient = quotient - step
    if quotient.any():
        raise ValueError(f"a bias of {np.abs(bias).max()} needs more than {count} elements")
    return lanes.reshape(count, -1, block, block)


def pack_tile_weights(
    layer: Conv, blocks: Span, chunk: Span, bias_blocks: int, skip_shift: int | None, block: int
) -> np.ndarray:
    """Weight elements of one tile: kernels, then bias, then the residual's identity.

    Returns
    -------
    int8 ``[elements, block_out, block_in]``; kernels are ordered output block, input block,
    row, column.
    """
    outputs = slice(blocks.begin * block, blocks.end * block)
    if layer.weights is Weights.UNIFORM:
        parts = [(np.eye(block, dtype=np.int8) * layer.weight.astype(np.int8))[None]]
    else:
        kernel = layer.weight[outputs, chunk.begin * block : chunk.end * block]
        kernel = _pad(_pad(kernel, 0, blocks.size * block), 1, chunk.size * block)
        kh, kw = kernel.shape[2:]
        tiles = kernel.reshape(blocks.size, block, chunk.size, block, kh, kw)
        parts = [tiles.transpose(0, 2, 4, 5, 1, 3).reshape(-1, block, block)]
    if bias_blocks:
        bias = _pad(layer.bias[outputs], 0, blocks.size * block)
        parts.append(pack_bias(bias, bias_blocks, block).reshape(-1, block, block))
    if skip_shift is not None:
        parts.append(np.eye(block, dtype=np.int8)[None] << np.int8(skip_shift))
    return np.concatenate(parts)


def _pad(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    if array.shape[axis] == size:
        return array
    width = [(0, 0)] * array.ndim
    width[axis] = (0, size - array.shape[axis])
    return np.pad(array, width)
