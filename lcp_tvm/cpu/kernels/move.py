"""Kernels that change how a map lies, or change each of its elements by itself."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.writer import kernel, lanes_of, operands_of, rows_of, shared, store

ZERO = tirx.FloatImm("float32", 0.0)


def block_kernel(name: str, out: Blocked) -> tirx.PrimFunc:
    """Return (NCHW, out): lanes after the last channel are zero."""
    with kernel(name) as made:
        x = made.buffer((out.batch, out.channels, out.height, out.width))
        y = made.buffer(out.shape)
        with made.body(), rows_of(y, out) as (batch, block, row):  # noqa: SIM117
            with T.serial(0, out.width) as column, T.serial(0, out.lanes) as lane:
                channel = block * out.lanes + lane
                value = x[batch, channel, row, column]
                if out.channels % out.lanes:
                    value = tirx.if_then_else(channel < out.channels, value, ZERO)
                place = [batch, block, row + out.halo.top, column + out.halo.left, lane]
                T.buffer_store(y, value, place)
    assert made.function is not None
    return made.function


def unblock_kernel(name: str, data: Blocked) -> tirx.PrimFunc:
    """Return (data, NCHW)."""
    with kernel(name) as made:
        x = made.buffer(data.shape)
        y = made.buffer((data.batch, data.channels, data.height, data.width))
        with made.body(), shared(data.batch, data.channels) as (batch, channel):  # noqa: SIM117
            with T.serial(0, data.height) as row, T.serial(0, data.width) as column:
                place = [row + data.halo.top, column + data.halo.left, channel % data.lanes]
                value = x[batch, channel // data.lanes, *place]
                T.buffer_store(y, value, [batch, channel, row, column])
    assert made.function is not None
    return made.function


def elementwise_kernel(
    name: str, data: Blocked, out: Blocked, steps: tuple[Step, ...], maps: Sequence[Blocked]
) -> tirx.PrimFunc:
    """Return (data, *operands, out); ``maps`` are the layouts of what is added."""
    with kernel(name) as made:
        x = made.buffer(data.shape)
        operands = operands_of(made, steps, out, maps)
        y = made.buffer(out.shape)
        with made.body(), rows_of(y, out) as (batch, block, row):  # noqa: SIM117
            with T.serial(0, out.width) as column:
                top, left = row + data.halo.top, column + data.halo.left
                value = lanes_of(x, batch, block, top, left)
                store(y, out, value, (batch, block, row, column), steps, operands)
    assert made.function is not None
    return made.function


def concat_kernel(name: str, parts: Sequence[Blocked], out: Blocked) -> tirx.PrimFunc:
    """Return (*parts, out): whole blocks beside each other."""
    with kernel(name) as made:
        inputs = [made.buffer(part.shape) for part in parts]
        y = made.buffer(out.shape)
        with made.body():
            first = 0
            for part, x in zip(parts, inputs, strict=True):
                with rows_of(y, out, first, part.blocks) as (batch, block, row):  # noqa: SIM117
                    with T.serial(0, out.width) as column:
                        top, left = row + part.halo.top, column + part.halo.left
                        value = lanes_of(x, batch, block - first, top, left)
                        store(y, out, value, (batch, block, row, column), (), ())
                first += part.blocks
    assert made.function is not None
    return made.function
