"""Pools of quantised blocked maps."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.integer_epilogue import load_integer, store_integer
from lcp_tvm.cpu.kernels.pool import Pool, inside
from lcp_tvm.cpu.kernels.writer import kernel, operands_of, rows_of, shared, zero_halo


def max_pool_int8_kernel(name: str, pool: Pool) -> tirx.PrimFunc:
    """Return (data, out): the largest of what is inside of the map."""
    data, out = pool.data, pool.out
    lanes = tirx.Ramp(0, 1, out.lanes)
    with kernel(name) as made:
        x, y = made.buffer(data.shape, data.dtype), made.buffer(out.shape, out.dtype)
        with made.body():
            best = T.sblock_alloc_buffer((out.lanes,), out.dtype)
            lowest = tirx.Broadcast(tirx.min_value(out.dtype), out.lanes)
            with rows_of(y, out) as (batch, block, row):  # noqa: SIM117
                with T.serial(0, out.width) as column:
                    T.buffer_store(best, lowest, [lanes])
                    rows = inside(row, 0, pool, (0, data.height))
                    columns = inside(column, 1, pool, (0, data.width))
                    with T.serial(*rows) as i, T.serial(*columns) as j:
                        value = x[batch, block, i + data.halo.top, j + data.halo.left, lanes]
                        T.buffer_store(best, tirx.max(best[lanes], value), [lanes])
                    place = [batch, block, row + out.halo.top, column + out.halo.left, lanes]
                    T.buffer_store(y, best[lanes], place)
    assert made.function is not None
    return made.function


def sum_int8_kernel(
    name: str, data: Blocked, out: Blocked, steps: tuple[Step, ...], maps: Sequence[Blocked]
) -> tirx.PrimFunc:
    """Return (data, *operands, out): the sum of each channel, and what the steps make of it."""
    lanes = tirx.Ramp(0, 1, out.lanes)
    with kernel(name) as made:
        x = made.buffer(data.shape, data.dtype)
        operands = operands_of(made, steps, out, maps)
        y = made.buffer(out.shape, out.dtype)
        with made.body():
            total = T.sblock_alloc_buffer((out.lanes,), "int32")
            with shared(out.batch, out.blocks) as (batch, block):
                zero_halo(y, out, batch, block)
                T.buffer_store(total, tirx.Broadcast(tirx.IntImm("int32", 0), out.lanes), [lanes])
                with T.serial(0, data.height) as row, T.serial(0, data.width) as column:
                    value = load_integer(x, data, (batch, block, row, column))
                    T.buffer_store(total, total[lanes] + value, [lanes])
                store_integer(y, out, total[lanes], (batch, block, 0, 0), steps, operands)
    assert made.function is not None
    return made.function
