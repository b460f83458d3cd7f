"""Pools of blocked maps: windows that reach over the border take what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.kernels.writer import kernel, lanes_of, rows_of, shared, store

LOWEST = tirx.FloatImm("float32", -3.4028234663852886e38)
ZERO = tirx.FloatImm("float32", 0.0)
ONE = tirx.FloatImm("float32", 1.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool.

    Attributes
    ----------
    window, strides : of rows and columns.
    padding : (top, left).
    counted : rows and columns around the map that an average divides by too.
    """

    data: Blocked
    out: Blocked
    kind: Literal["max", "average"]
    window: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int]
    counted: Halo


def pool_kernel(name: str, pool: Pool) -> tirx.PrimFunc:
    """Return (data, out)."""
    data, out = pool.data, pool.out
    with kernel(name) as made:
        x, y = made.buffer(data.shape), made.buffer(out.shape)
        with made.body():
            best = T.sblock_alloc_buffer((out.lanes,), scope="local")
            with rows_of(y, out) as (batch, block, row):  # noqa: SIM117
                with T.serial(0, out.width) as column:
                    rows = inside(row, 0, pool, (0, data.height))
                    columns = inside(column, 1, pool, (0, data.width))
                    first = LOWEST if pool.kind == "max" else ZERO
                    with T.vectorized(0, out.lanes) as lane:
                        T.buffer_store(best, first, [lane])
                    with T.serial(*rows) as i, T.serial(*columns) as j:  # noqa: SIM117
                        with T.vectorized(0, out.lanes) as lane:
                            value = x[batch, block, i + data.halo.top, j + data.halo.left, lane]
                            both = (
                                tirx.max(best[lane], value) if pool.kind == "max"
                                else best[lane] + value
                            )  # fmt: skip
                            T.buffer_store(best, both, [lane])
                    if pool.kind == "average":
                        factor = ONE / tirx.Cast("float32", _counted(row, column, pool))
                        with T.vectorized(0, out.lanes) as lane:
                            T.buffer_store(best, best[lane] * factor, [lane])
                    store(y, out, lanes_of(best), (batch, block, row, column), (), ())
    assert made.function is not None
    return made.function


def inside(place: Any, axis: int, pool: Pool, limits: tuple[int, int]) -> tuple[Any, Any]:
    """Return the rows or columns of a window that are inside of limits."""
    begin = place * pool.strides[axis] - pool.padding[axis]
    return tirx.max(begin, limits[0]), tirx.min(begin + pool.window[axis], limits[1])


def _counted(row: Any, column: Any, pool: Pool) -> Any:
    """Return what an average divides by."""
    data, around = pool.data, pool.counted
    rows = inside(row, 0, pool, (-around.top, data.height + around.bottom))
    columns = inside(column, 1, pool, (-around.left, data.width + around.right))
    return (rows[1] - rows[0]) * (columns[1] - columns[0])


def mean_kernel(name: str, data: Blocked) -> tirx.PrimFunc:
    """Return (data, out [N, C, 1, 1]): the mean of each channel."""
    with kernel(name) as made:
        x = made.buffer(data.shape)
        y = made.buffer((data.batch, data.channels, 1, 1))
        with made.body():
            total = T.sblock_alloc_buffer((data.lanes,), scope="local")
            with shared(data.batch, data.blocks) as (batch, block):
                with T.vectorized(0, data.lanes) as lane:
                    T.buffer_store(total, ZERO, [lane])
                with T.serial(0, data.height) as i, T.serial(0, data.width) as j:  # noqa: SIM117
                    with T.vectorized(0, data.lanes) as lane:
                        value = x[batch, block, i + data.halo.top, j + data.halo.left, lane]
                        T.buffer_store(total, total[lane] + value, [lane])
                factor = tirx.FloatImm("float32", 1.0 / (data.height * data.width))
                left = tirx.min(data.channels - block * data.lanes, data.lanes)
                with T.serial(0, left) as lane:
                    T.buffer_store(
                        y, total[lane] * factor, [batch, block * data.lanes + lane, 0, 0]
                    )
    assert made.function is not None
    return made.function
