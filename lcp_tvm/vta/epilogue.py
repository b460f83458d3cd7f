"""What the ALU makes of finished sums: shift, leaky ReLU and clips, with no multiplication.

    sums >>= s
    copy += sums; [copy <<= 1; copy += sums]; copy += half; copy >>= k; sums = max(sums, copy)
    sums = max(sums, low); sums = min(sums, high)

The second line is leaky ReLU with a slope of 3 * 2**-k; its copy starts as zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import Requantise, Slope


class Place(Enum):
    """Where a tile's numbers are."""

    SUMS = "sums"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class AluStep:
    """``target = op(target, operand)`` for every element."""

    op: AluOp
    target: Place
    operand: Place | int


Operands = tuple[Place, Place | None]
"""What a step changes and what it reads beside it, None for an immediate."""


def alu_steps(requantise: Requantise) -> tuple[AluStep, ...]:
    """The operations, in order."""
    steps = list(_shift(Place.SUMS, requantise.shift))
    if requantise.slope is not None:
        steps += _leak(requantise.slope)
    steps.append(AluStep(AluOp.MAX, Place.SUMS, requantise.low))
    steps.append(AluStep(AluOp.MIN, Place.SUMS, requantise.high))
    return tuple(steps)


def operands(step: AluStep) -> Operands:
    """What decides which micro-op a step needs."""
    return step.target, step.operand if isinstance(step.operand, Place) else None


def _leak(slope: Slope) -> Iterator[AluStep]:
    copy_sums = AluStep(AluOp.ADD, Place.COPY, Place.SUMS)
    yield copy_sums
    below_first = bin(slope.factor).removeprefix("0b1")
    for zeros in below_first.split("1")[:-1]:  # an odd factor ends in 1
        yield from _shift(Place.COPY, -len(zeros) - 1)
        yield copy_sums
    yield AluStep(AluOp.ADD, Place.COPY, slope.rounding)
    yield from _shift(Place.COPY, slope.shift)
    yield AluStep(AluOp.MAX, Place.SUMS, Place.COPY)


def _shift(target: Place, amount: int) -> Iterator[AluStep]:
    """Arithmetic shift to the right; the hardware takes a signed amount of five bits, -16..15."""
    while amount != 0:
        step = max(min(amount, 15), -16)
        yield AluStep(AluOp.SHR, target, step)
        amount -= step
