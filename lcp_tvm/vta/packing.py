"""Weights and biases in the accelerator's blocks."""

from __future__ import annotations

import numpy as np

from lcp_tvm.vta.layer import Conv, Weights
from lcp_tvm.vta.tiling import Span, cut

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
    layer: Conv,
    weights: Weights,
    blocks: Span,
    chunk: Span,
    bias_blocks: int,
    skip_shift: int | None,
    block: int,
) -> np.ndarray:
    """Weight elements of one tile: kernels, then bias, then the residual's identity.

    Parameters
    ----------
    weights : how the layer's channels meet in blocks.

    Returns
    -------
    int8 ``[elements, block_out, block_in]``; kernels are ordered output block, input block,
    row, column.
    """
    match weights:
        case Weights.UNIFORM:
            parts = [(np.eye(block, dtype=np.int8) * layer.weight.astype(np.int8))[None]]
        case Weights.BLOCKWISE:
            parts = [_kernels(layer, one, one, block) for one in cut(chunk, 1)]
        case Weights.DENSE:
            parts = [_kernels(layer, blocks, chunk, block)]
    if bias_blocks:
        bias = layer.bias[blocks.begin * block : blocks.end * block]
        bias = _pad(bias, 0, blocks.size * block)
        parts.append(pack_bias(bias, bias_blocks, block).reshape(-1, block, block))
    if skip_shift is not None:
        parts.append(np.eye(block, dtype=np.int8)[None] << np.int8(skip_shift))
    return np.concatenate(parts)


def _kernels(layer: Conv, blocks: Span, chunk: Span, block: int) -> np.ndarray:
    """Kernels between output and input blocks, int8 ``[elements, block_out, block_in]``."""
    outputs = Span(blocks.begin * block, min(blocks.end * block, layer.target.channels))
    inputs = Span(chunk.begin * block, min(chunk.end * block, layer.source.channels))
    kernel = _between(layer, outputs, inputs)
    kernel = _pad(_pad(kernel, 0, blocks.size * block), 1, chunk.size * block)
    kh, kw = kernel.shape[2:]
    tiles = kernel.reshape(blocks.size, block, chunk.size, block, kh, kw)
    return tiles.transpose(0, 2, 4, 5, 1, 3).reshape(-1, block, block)


def _between(layer: Conv, outputs: Span, inputs: Span) -> np.ndarray:
    """Kernels between two ranges of channels, zero for channels of different groups."""
    kernel = layer.weight[outputs.begin : outputs.end]
    if layer.groups == 1:
        return kernel[:, inputs.begin : inputs.end]
    width = kernel.shape[1]
    group = np.arange(outputs.begin, outputs.end) // (layer.target.channels // layer.groups)
    column = (group * width - inputs.begin)[:, None] + np.arange(width)
    row, lane = np.nonzero((column >= 0) & (column < inputs.size))
    between = np.zeros((outputs.size, inputs.size, *kernel.shape[2:]), dtype=np.int8)
    between[row, column[row, lane]] = kernel[row, lane]
    return between


def _pad(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    if array.shape[axis] == size:
        return array
    width = [(0, 0)] * array.ndim
    width[axis] = (0, size - array.shape[axis])
    return np.pad(array, width)
