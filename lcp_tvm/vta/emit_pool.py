"""Max pooling: inputs reach the accumulator through an identity GEMM, then ALU MAX."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_schedule import Slots
from lcp_tvm.vta.emitter import Emitter
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import MaxPool, Plane, Weights
from lcp_tvm.vta.nest import elementwise, nest_of
from lcp_tvm.vta.pooling import pool_steps
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import Box, Tiling, reach_limit, reach_of, window_work
from lcp_tvm.vta.transfers import input_transfers, output_transfers

_LOWEST = -128


def pool_tiling(layer: MaxPool, config: VtaConfig) -> Tiling | None:
    """The largest tiles, whole rows first, that fit twice; else once; else None."""
    planes = _planes(layer.source, config).channels
    kh, kw = layer.window.kernel
    for slots in (2, 1):
        for columns in range(layer.target.width, 0, -1):
            for rows in range(layer.target.height, 0, -1):
                plane = prod(reach_limit(layer.window, layer.source, rows, columns))
                fit = min(
                    config.acc_depth // slots // (plane + rows * columns),
                    (config.inp_depth - 1) // slots // plane,
                    config.uop_depth // (2 * kh * kw),
                    planes,
                )
                if fit >= 1:
                    return Tiling(fit, rows, columns, 1, True, slots, 1, slots)
    return None


def _planes(plane: Plane, config: VtaConfig) -> Plane:
    """The same in elements; frames count as channel blocks, as they lie side by side alike."""
    elements = plane.in_elements(config)
    return Plane(elements.channels * elements.frames, elements.height, elements.width)


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
    source_planes, target_planes = (_planes(p, config) for p in (layer.source, layer.target))
    plane = prod(reach_limit(layer.window, layer.source, tiling.rows, tiling.columns))
    size = tiling.blocks * plane
    inputs = _slots(emitter, Space.INP, size, tiling.input_slots)
    outputs = tiling.blocks * tiling.rows * tiling.columns
    accs = _slots(emitter, Space.OUT, size + outputs, tiling.acc_slots)
    identity = Range(Space.WGT, emitter.reserve(Space.WGT, 1), 1)
    emitter.load_weights(identity.start, weight_base, 1)
    for index, box in enumerate(tiling.boxes(target_planes, target_planes.channels)):
        reach = reach_of(box, layer.source, layer.window)
        slot, _ = inputs.take(index)
        for run in input_transfers(source_planes, box.blocks, reach):
            emitter.load_inputs(slot, source, run)
        acc, _ = accs.take(index)
        window = Range(Space.OUT, acc, box.blocks.size * reach.size)
        pooled = Range(Space.OUT, acc + window.size, box.size)
        emitter.reset(Range(Space.OUT, acc, window.size + pooled.size))
        operand = Range(Space.INP, slot, window.size)
        emitter.gemm(elementwise(window.size), window, operand, identity)
        _pool(emitter, layer, box, window, pooled)
        for run in output_transfers(target_planes, box):
            emitter.store(pooled.start, target, run)
    return np.eye(config.block, dtype=np.int8)[None]


def _slots(emitter: Emitter, space: Space, size: int, count: int) -> Slots:
    return Slots(emitter.reserve(space, size * count), size, count)


def _pool(emitter: Emitter, layer: MaxPool, box: Box, window: Range, pooled: Range) -> None:
    reach = reach_of(box, layer.source, layer.window)
    work = window_work(layer.source, layer.window, box, reach, box.blocks, Weights.UNIFORM)
    steps = pool_steps(work, reach)
    if steps is not None:
        emitter.take_maximum(steps, window, pooled)
        return
    emitter.alu(AluOp.MIN, pooled, _LOWEST)
    for row, column in product(work.rows.taps, work.columns.taps):
        part = replace(
            work,
            rows=replace(work.rows, taps=(row,)),
            columns=replace(work.columns, taps=(column,)),
        )
        emitter.alu_pairs(AluOp.MAX, nest_of(part, ("rows", "columns")), pooled, window)
