"""Requantising is a list of ALU operations; leaky ReLU multiplies by shifts and additions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.vta.epilogue import AluStep, Place, alu_steps
from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.layer import Requantise, Slope

SUMS, COPY = Place.SUMS, Place.COPY
OPERATIONS = {
    AluOp.ADD: lambda a, b: a + b,
    AluOp.MAX: max,
    AluOp.MIN: min,
    AluOp.SHR: lambda a, b: a >> b if b >= 0 else a << -b,
}


def test_relu_takes_three_operations() -> None:
    assert alu_steps(Requantise(8, 0, 127)) == (
        AluStep(AluOp.SHR, SUMS, 8),
        AluStep(AluOp.MAX, SUMS, 0),
        AluStep(AluOp.MIN, SUMS, 127),
    )


def test_a_long_shift_takes_two() -> None:
    """The hardware shifts by 15 at most."""
    steps = alu_steps(Requantise(20, -128, 127))
    assert [step.operand for step in steps] == [15, 5, -128, 127]


def test_leaky_relu_of_three_thirty_seconds_takes_nine() -> None:
    assert alu_steps(Requantise(8, -128, 127, Slope(3, 5, 16))) == (
        AluStep(AluOp.SHR, SUMS, 8),
        AluStep(AluOp.ADD, COPY, SUMS),
        AluStep(AluOp.SHR, COPY, -1),
        AluStep(AluOp.ADD, COPY, SUMS),
        AluStep(AluOp.ADD, COPY, 16),
        AluStep(AluOp.SHR, COPY, 5),
        AluStep(AluOp.MAX, SUMS, COPY),
        AluStep(AluOp.MAX, SUMS, -128),
        AluStep(AluOp.MIN, SUMS, 127),
    )


@given(
    value=st.integers(-(1 << 22), 1 << 22),
    shift=st.integers(0, 20),
    half=st.integers(0, 63),
    places=st.integers(0, 12),
)
def test_any_odd_factor_multiplies_exactly(value: int, shift: int, half: int, places: int) -> None:
    slope = Slope(2 * half + 1, places, 1 << places >> 1)
    at = {SUMS: value, COPY: 0}
    for step in alu_steps(Requantise(shift, -128, 127, slope)):
        operand = at[step.operand] if isinstance(step.operand, Place) else step.operand
        at[step.target] = OPERATIONS[step.op](at[step.target], operand)
    shifted = value >> shift
    leaked = (shifted * slope.factor + slope.rounding) >> places
    assert at[SUMS] == min(max(shifted, leaked, -128), 127)


@pytest.mark.parametrize("shift", range(-8, 32))
def test_shifts_stay_within_five_signed_bits(shift: int) -> None:
    steps = alu_steps(Requantise(shift, -128, 127))
    amounts = [step.operand for step in steps if step.op is AluOp.SHR]
    assert sum(amounts) == shift
    assert all(-16 <= amount <= 15 for amount in amounts)
