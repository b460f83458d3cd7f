"""Max pooling: inputs reach the accumulator through an identity GEMM, then ALU MAX."""

from __future__ import annotations

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.emitter import Emitter, Slots
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import MaxPool, Plane
from lcp_tvm.vta.nest import Dim, Nest
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import Box, InputBox, Tiling, input_box

_LOWEST = -128


def pool_tiling(layer: MaxPool, config: VtaConfig) -> Tiling | None:
    """The largest tiles, whole rows first, that fit twice; else once; else None."""
    blocks = layer.source.blocks(config.block)
    (sh, sw), (eh, ew) = layer.window.stride, layer.window.extent
    kh, kw = layer.window.kernel
    for slots in (2, 1):
        for columns in range(layer.target.width, 0, -1):
            width = (columns - 1) * sw + ew
            for rows in range(layer.target.height, 0, -1):
                plane = ((rows - 1) * sh + eh) * width
                fit = min(
                    config.acc_depth // slots // (plane + rows * columns),
                    (config.inp_depth - 1) // slots // plane,
                    config.uop_depth // (2 * kh * kw),
                    blocks,
                )
                if fit >= 1:
                    return Tiling(fit, rows, columns, 1, True, slots, 1, slots)
    return None


def emit_pool(
    emitter: Emitter, layer: MaxPool, source: int, target: int, weight_base: int
) -> np.ndarray:
    """Append a max pooling's instructions.

    Parameters
    ----------
    source, target : element addresses of the activations in their section.
    weight_base : element address of the layer's weights in theirs.

    Returns
    -------
    The identity, int8 ``[1, BLOCK_OUT, BLOCK_IN]``.

    Raises
    ------
    ValueError
        If no tile fits the buffers; `support` refuses such layers before.
    """
    config = emitter.config
    tiling = pool_tiling(layer, config)
    if tiling is None:
        raise ValueError(f"{layer.name}: no tile fits the buffers")
    blocks = layer.source.blocks(config.block)
    source_plane = layer.source.height * layer.source.width
    (sh, sw), (eh, ew) = layer.window.stride, layer.window.extent
    plane = ((tiling.rows - 1) * sh + eh) * ((tiling.columns - 1) * sw + ew)
    inputs = Slots(0, tiling.blocks * plane, tiling.input_slots)
    outputs = tiling.rows * tiling.columns
    accs = Slots(0, tiling.blocks * (plane + outputs), tiling.acc_slots)
    emitter.load_weights(0, weight_base, 1)
    box_plane = Plane(blocks, layer.target.height, layer.target.width)
    for index, box in enumerate(tiling.boxes(box_plane)):
        reach = input_box(box, layer.source, layer.window)
        slot, _ = inputs.take(index)
        for block in range(box.blocks.size):
            emitter.load_inputs(
                slot + block * reach.size,
                source
                + (box.blocks.begin + block) * source_plane
                + reach.rows.begin * layer.source.width
                + reach.columns.begin,
                rows=reach.rows.size,
                size=reach.columns.size,
                stride=layer.source.width,
                padding=reach.padding,
            )
        acc, _ = accs.take(index)
        _emit_tile(emitter, layer, box, reach, slot, acc)
        _store(emitter, layer, box, acc + box.blocks.size * reach.size, target)
    return np.eye(config.block, dtype=np.int8)[None]


def _emit_tile(
    emitter: Emitter, layer: MaxPool, box: Box, reach: InputBox, slot: int, acc: int
) -> None:
    """Pool one tile: inputs at ``acc``, outputs behind them."""
    blocks, rows, columns = box.blocks.size, box.rows.size, box.columns.size
    size = blocks * reach.size
    window = Range(Space.OUT, acc, size)
    pooled = Range(Space.OUT, acc + size, box.size)
    emitter.reset(Range(Space.OUT, acc, size + box.size))
    identity = Nest(Dim(1, 0, 0, 0), Dim(size, 1, 1, 0), ())
    emitter.gemm(identity, window, Range(Space.INP, slot, size), Range(Space.WGT, 0, 1))
    _lower_border(emitter, acc, blocks, reach)
    emitter.alu(AluOp.MIN, pooled, _LOWEST)

    (kh, kw), (dh, dw) = layer.window.kernel, layer.window.dilation
    (sh, sw) = layer.window.stride
    block = np.arange(blocks)
    taps = [
        np.stack(
            [
                pooled.start + block * rows * columns,
                acc + block * reach.size + row * dh * reach.width + column * dw,
                np.zeros_like(block),
            ],
            axis=1,
        )
        for row in range(kh)
        for column in range(kw)
    ]
    begin = emitter.micro_ops(np.concatenate(taps))
    for tap in range(kh * kw):
        first = begin + tap * blocks
        emitter.alu_pairs(
            AluOp.MAX,
            (first, first + blocks),
            ((rows, columns, sh * reach.width), (columns, 1, sw)),
            pooled,
        )


def _lower_border(emitter: Emitter, acc: int, blocks: int, reach: InputBox) -> None:
    """Padding arrives as zeros; make it the lowest value so that it never wins."""
    top, left, bottom, right = reach.padding
    width, height = reach.width, reach.height
    for block in range(blocks):
        base = acc + block * reach.size
        if top:
            emitter.alu(AluOp.MIN, Range(Space.OUT, base, top * width), _LOWEST)
        if bottom:
            start = base + (height - bottom) * width
            emitter.alu(AluOp.MIN, Range(Space.OUT, start, bottom * width), _LOWEST)
        if left:
            rows = Range(Space.OUT, base, left, height, width)
            emitter.alu_rows(AluOp.MIN, rows, _LOWEST)
        if right:
            rows = Range(Space.OUT, base + width - right, right, height, width)
            emitter.alu_rows(AluOp.MIN, rows, _LOWEST)


def _store(emitter: Emitter, layer: MaxPool, box: Box, acc: int, target: int) -> None:
    plane = layer.target.height * layer.target.width
    size = box.rows.size * box.columns.size
    for block in range(box.blocks.size):
        emitter.store(
            acc + block * size,
            target
            + (box.blocks.begin + block) * plane
            + box.rows.begin * layer.target.width
            + box.columns.begin,
            rows=box.rows.size,
            size=box.columns.size,
            stride=layer.target.width,
        )
