"""What is done with int32 sums before they are stored as bytes: in registers, by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Operations, Step, finish
from lcp_tvm.cpu.kernels.writer import Operand


def store_integer(
    buffer: Any,
    out: Blocked,
    value: Any,
    at: tuple[Any, Any, Any, Any],
    steps: tuple[Step, ...],
    operands: Sequence[Operand],
) -> None:
    """Store sums of the pixel at (batch, block, row, column) of the map, after all steps."""
    batch, block, row, column = at
    lanes = tirx.Ramp(0, 1, out.lanes)

    def load(number: int) -> Any:
        operand = operands[number]
        if operand.layout is None:
            return operand.buffer[block, lanes]
        return load_integer(operand.buffer, operand.layout, at)

    done = finish(value, steps, load, INTEGERS)
    if out.zero:
        done = done + out.zero
    place = [batch, block, row + out.halo.top, column + out.halo.left, lanes]
    T.buffer_store(buffer, tirx.Cast(f"{out.dtype}x{out.lanes}", done), place)


def load_integer(buffer: Any, layout: Blocked, at: tuple[Any, Any, Any, Any]) -> Any:
    """Return a pixel of a map as int32."""
    batch, block, row, column = at
    place = [batch, block, row + layout.halo.top, column + layout.halo.left]
    value = tirx.Cast(f"int32x{layout.lanes}", buffer[*place, tirx.Ramp(0, 1, layout.lanes)])
    return value - layout.zero if layout.zero else value


def _add(value: Any, other: Any, numbers: tuple[float, ...]) -> Any:
    return value + (other << int(numbers[0]))


def _shift(value: Any, _: Any, numbers: tuple[float, ...]) -> Any:
    places = int(numbers[0])
    return value >> places if places > 0 else value << -places


def _leaky_relu(value: Any, _: Any, numbers: tuple[float, ...]) -> Any:
    factor, rounding, places = map(int, numbers)
    return tirx.max((value * factor + rounding) >> places, value)


def _clip(value: Any, _: Any, numbers: tuple[float, ...]) -> Any:
    low, high = map(int, numbers)
    return tirx.min(tirx.max(value, low), high)


INTEGERS: Operations = {
    "bias": lambda value, other, _: value + other,
    "add": _add,
    "multiply": lambda value, _, numbers: value * int(numbers[0]),
    "shift": _shift,
    "clip": _clip,
    "leaky_relu": _leaky_relu,
}
