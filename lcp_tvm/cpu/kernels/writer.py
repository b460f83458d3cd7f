"""What kernels have in common: buffers, halos, stores with an epilogue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import FLOATS, Step, finish

ALIGNMENT = 64
OPAQUE = 8
"""TVM's pattern of an operator that is fused with no other."""


class Kernel:
    """A kernel under construction: first its arguments, then ``body``."""

    def __init__(self) -> None:
        self.function: tirx.PrimFunc | None = None
        self._count = 0

    @contextmanager
    def body(self) -> Iterator[None]:
        """Write what it does inside the block."""
        with T.sblock("root"):
            T.reads()
            T.writes()
            yield

    def buffer(self, shape: Sequence[int], dtype: str = "float32") -> Any:
        """Add an argument."""
        name = f"a{self._count}"
        self._count += 1
        return T.match_buffer(T.arg(name, T.handle()), tuple(shape), dtype, align=ALIGNMENT)


@contextmanager
def kernel(name: str) -> Iterator[Kernel]:
    """Write a kernel inside the block; its arguments are buffers, the last one the result."""
    made = Kernel()
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(name)
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        yield made
    made.function = builder.get().with_attr("global_symbol", name)


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """A map, or with layout None one number per channel, that an epilogue reads."""

    buffer: Any
    layout: Blocked | None


def operands_of(
    made: Kernel, steps: tuple[Step, ...], out: Blocked, maps: Sequence[Blocked]
) -> list[Operand]:
    """Add the arguments that steps read; ``maps`` are the layouts of those of "add"."""
    numbers = "float32" if out.dtype == "float32" else "int32"
    left, found = iter(maps), []
    for step in steps:
        if step.kind == "add":
            layout = next(left)
            found.append(Operand(made.buffer(layout.shape, layout.dtype), layout))
        elif step.has_operand:
            found.append(Operand(made.buffer((out.blocks, out.lanes), numbers), None))
    return found


@contextmanager
def shared(*sizes: int) -> Iterator[list[Any]]:
    """Run what is inside for all indices below sizes, the last fastest; threads share them evenly.

    No two may write the same element, so that any number of threads gives the same bits.
    """
    with T.parallel(0, math.prod(sizes)) as number:
        yield _indices(number, sizes)


@contextmanager
def looped(*sizes: int) -> Iterator[list[Any]]:
    """Run the same in one thread."""
    with T.serial(0, math.prod(sizes)) as number:
        yield _indices(number, sizes)


def _indices(number: Any, sizes: Sequence[int]) -> list[Any]:
    indices = []
    for size in reversed(sizes):
        indices.append(tirx.floormod(number, size))
        number = tirx.floordiv(number, size)
    return indices[::-1]


def zero_halo(buffer: Any, out: Blocked, batch: Any, block: Any) -> None:
    """Write zeros around the map of one block."""
    halo, zero = out.halo, tirx.const(out.zero, out.dtype)

    def fill(rows: tuple[int, int], columns: tuple[int, int]) -> None:
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return
        with T.serial(*rows) as row, T.serial(*columns) as column:  # noqa: SIM117
            with T.vectorized(0, out.lanes) as lane:
                T.buffer_store(buffer, zero, [batch, block, row, column, lane])

    bottom, right = halo.top + out.height, halo.left + out.width
    fill((0, halo.top), (0, out.columns))
    fill((bottom, out.rows), (0, out.columns))
    fill((halo.top, bottom), (0, halo.left))
    fill((halo.top, bottom), (right, out.columns))


def lanes_of(buffer: Any, *place: Any) -> Callable[[Any], Any]:
    """Return what gives a lane of a pixel."""
    return lambda lane: buffer[(*place, lane)]


@contextmanager
def rows_of(
    buffer: Any, out: Blocked, first: int = 0, blocks: int | None = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Run what is inside for each row of blocks from the first on, all by default; zero halos.

    Gives (batch, block, row); threads share the rows.
    """
    blocks = out.blocks if blocks is None else blocks
    with shared(out.batch, blocks, out.height) as (batch, number, row):
        block = first + number
        with T.If(row == 0), T.Then():
            zero_halo(buffer, out, batch, block)
        yield batch, block, row


def store(
    buffer: Any,
    out: Blocked,
    value: Callable[[Any], Any],
    at: tuple[Any, Any, Any, Any],
    steps: tuple[Step, ...],
    operands: Sequence[Operand],
    to: Sequence[Any] | None = None,
) -> None:
    """Store the lanes of a pixel at (batch, block, row, column) of the map, after all steps.

    ``to`` are the indices where ``buffer`` is not the map but holds a part of it.
    """
    batch, block, row, column = at
    place = to or [batch, block, row + out.halo.top, column + out.halo.left]
    with T.vectorized(0, out.lanes) as lane:
        T.buffer_store(buffer, finished(value(lane), (*at, lane), steps, operands), [*place, lane])


def finished(
    value: Any, at: Sequence[Any], steps: tuple[Step, ...], operands: Sequence[Operand]
) -> Any:
    """Return what steps make of the element at (batch, block, row, column, lane) of the map."""
    batch, block, row, column, lane = at

    def load(number: int) -> Any:
        operand = operands[number]
        if operand.layout is None:
            return operand.buffer[block, lane]
        halo = operand.layout.halo
        return operand.buffer[batch, block, row + halo.top, column + halo.left, lane]

    return finish(value, steps, load, FLOATS)
