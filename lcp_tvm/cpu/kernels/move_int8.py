"""Kernels that change how a quantised map lies, or change each of its numbers by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.dot import QUAD
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.integer_epilogue import load_integer, store_integer
from lcp_tvm.cpu.kernels.writer import kernel, operands_of, rows_of, shared


def quantise_kernel(name: str, out: Blocked, factor: float, vector: int) -> tirx.PrimFunc:
    """Return (float32 NCHW, out): clip(round(factor * x), -128, 127), four channels a block.

    Parameters
    ----------
    vector : pixels that are computed at a time.
    """
    assert out.lanes == QUAD
    with kernel(name) as made:
        x = made.buffer((out.batch, out.channels, out.height, out.width))
        y = made.buffer(out.shape, out.dtype)
        with made.body():
            flat = T.decl_buffer(
                (out.batch, out.blocks, out.rows, out.columns * QUAD), out.dtype, data=y.data
            )

            def pixels(at: tuple[Any, Any, Any], column: Any, count: int) -> None:
                batch, block, row = at
                word: Any = None
                columns = tirx.Ramp(column, 1, count) if count > 1 else column
                wide = f"int32x{count}" if count > 1 else "int32"
                for lane in range(QUAD):
                    channel = block * QUAD + lane
                    # Lanes after the last channel repeat it: they may hold anything.
                    channel = tirx.min(channel, out.channels - 1)
                    value = tirx.round(x[batch, channel, row, columns] * factor)
                    value = tirx.min(tirx.max(value, -128.0), 127.0)
                    byte = (tirx.Cast(wide, value) + out.zero) & 0xFF
                    word = byte if word is None else word | (byte << (8 * lane))
                first = (column + out.halo.left) * QUAD
                bytes_ = tirx.reinterpret(f"{out.dtype}x{QUAD * count}", word)
                place = [batch, block, row + out.halo.top, tirx.Ramp(first, 1, QUAD * count)]
                T.buffer_store(flat, bytes_, place)

            whole, rest = divmod(out.width, vector)
            with rows_of(y, out) as (batch, block, row):
                if whole:
                    with T.serial(0, whole) as step:
                        pixels((batch, block, row), step * vector, vector)
                if rest:
                    with T.serial(0, rest) as left:
                        pixels((batch, block, row), whole * vector + left, 1)
    assert made.function is not None
    return made.function


def block_int8_kernel(name: str, out: Blocked) -> tirx.PrimFunc:
    """Return (int8 NCHW, out): lanes after the last channel are zero."""
    with kernel(name) as made:
        x = made.buffer((out.batch, out.channels, out.height, out.width), "int8")
        y = made.buffer(out.shape, out.dtype)
        with made.body(), rows_of(y, out) as (batch, block, row):  # noqa: SIM117
            with T.serial(0, out.width) as column, T.serial(0, out.lanes) as lane:
                channel = block * out.lanes + lane
                value = tirx.Cast("int32", x[batch, channel, row, column])
                if out.channels % out.lanes:
                    value = tirx.if_then_else(channel < out.channels, value, 0)
                place = [batch, block, row + out.halo.top, column + out.halo.left, lane]
                T.buffer_store(y, tirx.Cast(out.dtype, value + out.zero), place)
    assert made.function is not None
    return made.function


def unblock_int8_kernel(name: str, data: Blocked) -> tirx.PrimFunc:
    """Return (data, int8 NCHW)."""
    with kernel(name) as made:
        x = made.buffer(data.shape, data.dtype)
        y = made.buffer((data.batch, data.channels, data.height, data.width), "int8")
        with made.body(), shared(data.batch, data.channels) as (batch, channel):  # noqa: SIM117
            with T.serial(0, data.height) as row, T.serial(0, data.width) as column:
                place = [row + data.halo.top, column + data.halo.left, channel % data.lanes]
                value = tirx.Cast("int32", x[batch, channel // data.lanes, *place])
                T.buffer_store(
                    y, tirx.Cast("int8", value - data.zero), [batch, channel, row, column]
                )
    assert made.function is not None
    return made.function


def elementwise_int8_kernel(
    name: str, data: Blocked, out: Blocked, steps: tuple[Step, ...], maps: Sequence[Blocked]
) -> tirx.PrimFunc:
    """Return (data, *operands, out); ``maps`` are the layouts of what is added."""
    with kernel(name) as made:
        x = made.buffer(data.shape, data.dtype)
        operands = operands_of(made, steps, out, maps)
        y = made.buffer(out.shape, out.dtype)
        with made.body(), rows_of(y, out) as (batch, block, row):  # noqa: SIM117
            with T.serial(0, out.width) as column:
                at = batch, block, row, column
                store_integer(y, out, load_integer(x, data, at), at, steps, operands)
    assert made.function is not None
    return made.function


def concat_int8_kernel(name: str, parts: Sequence[Blocked], out: Blocked) -> tirx.PrimFunc:
    """Return (*parts, out): whole blocks beside each other."""
    lanes = tirx.Ramp(0, 1, out.lanes)
    with kernel(name) as made:
        inputs = [made.buffer(part.shape, part.dtype) for part in parts]
        y = made.buffer(out.shape, out.dtype)
        with made.body():
            first = 0
            for part, x in zip(parts, inputs, strict=True):
                with rows_of(y, out, first, part.blocks) as (batch, block, row):  # noqa: SIM117
                    with T.serial(0, out.width) as column:
                        source = [row + part.halo.top, column + part.halo.left, lanes]
                        place = [row + out.halo.top, column + out.halo.left, lanes]
                        value = x[batch, block - first, *source]
                        T.buffer_store(y, value, [batch, block, *place])
                first += part.blocks
    assert made.function is not None
    return made.function
