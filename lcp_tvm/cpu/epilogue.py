"""What is done with a layer's sums before they are stored: element by element, in registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tvm import tirx

Kind = Literal["bias", "add", "scale", "relu", "clip", "leaky_relu", "multiply", "shift"]
Load = Callable[[int], Any]
"""Gives the element of the kernel's n-th extra operand that belongs to the element at hand."""

Operations = Mapping[Kind, Callable[[Any, Any, tuple[float, ...]], Any]]
"""Give the expression of an element, or a vector, its operand and a step's numbers."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation.

    Attributes
    ----------
    kind : "bias" and "scale" read an operand of one number per channel, "add" one of the
        result's size.
    numbers : bounds of a clip, slope of a leaky ReLU; of integers the factor of "multiply", the
        places of "shift" to the right and, of the operand, of "add" to the left, and of a leaky
        ReLU factor, addend and places.
    """

    kind: Kind
    numbers: tuple[float, ...] = ()

    @property
    def has_operand(self) -> bool:
        """Whether it reads an operand."""
        return self.kind in ("bias", "add", "scale")


def finish(value: Any, steps: tuple[Step, ...], load: Load, operations: Operations) -> Any:
    """Return the expression of an element, or a vector, after all steps."""
    operand = 0
    for step in steps:
        other = None
        if step.has_operand:
            other, operand = load(operand), operand + 1
        value = operations[step.kind](value, other, step.numbers)
    return value


def _leaky_relu(value: Any, _: Any, numbers: tuple[float, ...]) -> Any:
    return tirx.Select(value > 0, value, value * tirx.FloatImm("float32", numbers[0]))


def _clip(value: Any, _: Any, numbers: tuple[float, ...]) -> Any:
    low, high = (tirx.FloatImm("float32", number) for number in numbers)
    return tirx.min(tirx.max(value, low), high)


FLOATS: Operations = {
    "bias": lambda value, other, _: value + other,
    "add": lambda value, other, _: value + other,
    "scale": lambda value, other, _: value * other,
    "relu": lambda value, _, __: tirx.max(value, tirx.FloatImm("float32", 0.0)),
    "clip": _clip,
    "leaky_relu": _leaky_relu,
}
