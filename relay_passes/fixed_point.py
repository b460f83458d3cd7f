"""What a float expression becomes when its numbers are integers with fraction bits.

``lower_qdq`` keeps one of these values per Relax variable. A value of ``bits`` fraction bits holds
integers ``q`` that stand for ``q * 2**-bits``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.vta.layer import Slope

INT32_LIMIT = 2**31

Emit = Callable[[relax.Expr, str], relax.Expr]
"""Binds an expression to a new variable of about that name, and gives the variable back."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Not in fixed point: a float tensor, a shape, a boolean, ..."""

    expr: relax.Expr


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant in fixed point: int8 weights or an int32 bias."""

    data: NDArray[np.int8] | NDArray[np.int32]
    bits: int

    def real(self) -> NDArray[np.float32]:
        return np.ldexp(self.data.astype(np.float64), -self.bits).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Int8:
    """An int8 activation."""

    expr: relax.Expr
    bits: int


@dataclass(frozen=True, slots=True)
class Operand:
    """An int32 tensor to be added to an accumulator, in the accumulator's fraction bits."""

    expr: relax.Expr
    bound: NDArray[np.int64]  # largest magnitude, broadcastable against expr


@dataclass(frozen=True, slots=True)
class Accumulator:
    """``clip(leaky(expr + bias + operands), low, high)`` in int32; only ``expr`` is emitted yet.

    The bias waits because the rounding constant of the requantisation goes into it, leaky ReLU
    because it is cheaper and not worse on the few bits that requantising leaves.
    """

    expr: relax.Expr
    bits: int
    bound: NDArray[np.int64]  # largest magnitude of expr, broadcastable against it
    bias: NDArray[np.int64] | None = None  # broadcastable; an array for convolution and dense
    operands: tuple[Operand, ...] = ()
    slope: Slope | None = None  # of leaky ReLU's negative side
    low: float = -math.inf  # clip bounds in real units
    high: float = math.inf

    @property
    def clipped(self) -> bool:
        return self.low > -math.inf or self.high < math.inf

    @property
    def activated(self) -> bool:
        """Whether anything happens behind the sum."""
        return self.clipped or self.slope is not None


Value = Plain | Fixed | Int8 | Accumulator


def int32(array: NDArray[np.int64] | int) -> relax.Expr:
    return relax.const(np.asarray(array, np.int32), "int32")


def half_up(value: float, bits: int) -> int:
    """``value * 2**bits`` rounded half up, as the shifts of the integer form round."""
    return math.floor(math.ldexp(value, bits) + 0.5)


def widen(value: Int8, emit: Emit) -> Accumulator:
    """The int8 tensor as an accumulator of its own fraction bits."""
    name = name_of(value.expr)
    return Accumulator(
        expr=emit(relax.op.astype(value.expr, "int32"), f"{name}_int32"),
        bits=value.bits,
        bound=np.asarray(128, np.int64),
    )


def refine(acc: Accumulator, bits: int, emit: Emit) -> Accumulator:
    """The same numbers with more fraction bits: everything shifted left."""
    shift = bits - acc.bits
    if shift == 0:
        return acc
    if acc.operands or acc.activated:
        acc = settle(acc, emit)
    if shift > 31 or np.max(acc.bound) << shift >= INT32_LIMIT:
        raise ModelError(
            f"operand {name_of(acc.expr)}: {acc.bits} fraction bits cannot be aligned to {bits} "
            "in 32 bits; the scales of the two operands are too far apart, requantise the model"
        )
    name = name_of(acc.expr)
    return replace(
        acc,
        expr=emit(relax.op.left_shift(acc.expr, int32(shift)), f"{name}_aligned"),
        bits=bits,
        bound=acc.bound << shift,
        bias=None if acc.bias is None else acc.bias << shift,
    )


def settle(acc: Accumulator, emit: Emit) -> Accumulator:
    """Emit bias, operands, leaky ReLU and clip: what is left is one int32 expression.

    Raises
    ------
    ModelError
        If the sum can leave 32 bits for some input.
    """
    name = name_of(acc.expr)
    expr, bound = acc.expr, acc.bound
    if acc.bias is not None:
        bound = bound + np.abs(acc.bias)
    bound = sum((operand.bound for operand in acc.operands), bound)
    if np.max(bound) >= INT32_LIMIT:
        raise ModelError(
            f"layer {name}: its accumulator can reach {int(np.max(bound))}, 32 bits hold "
            f"{INT32_LIMIT - 1}; give its weights or its input a coarser scale"
        )
    if acc.bias is not None:
        expr = emit(relax.op.add(expr, int32(acc.bias)), f"{name}_bias")
    for operand in acc.operands:
        expr = emit(relax.op.add(expr, operand.expr), f"{name}_add")
    if acc.slope is not None:
        expr = _leak(expr, acc.slope, bound, emit)
    if acc.clipped:
        low, high = (
            max(-INT32_LIMIT, half_up(acc.low, acc.bits)) if acc.low > -math.inf else -INT32_LIMIT,
            min(INT32_LIMIT - 1, half_up(acc.high, acc.bits))
            if acc.high < math.inf
            else INT32_LIMIT - 1,
        )
        expr = emit(relax.op.clip(expr, low, high), f"{name}_clip")
    return Accumulator(expr=expr, bits=acc.bits, bound=bound)


def _leak(expr: relax.Expr, slope: Slope, bound: NDArray[np.int64], emit: Emit) -> relax.Expr:
    """``max(expr, expr * slope)``, the product rounded half up."""
    name = name_of(expr)
    largest = int(np.max(bound)) * slope.factor + slope.rounding
    if largest >= INT32_LIMIT:
        raise ModelError(
            f"layer {name}: its leaky ReLU can reach {largest}, 32 bits hold {INT32_LIMIT - 1}; "
            "give its weights or its input a coarser scale"
        )
    scaled = emit(relax.op.multiply(expr, int32(slope.factor)), f"{name}_scaled")
    scaled = emit(relax.op.add(scaled, int32(slope.rounding)), f"{name}_rounded")
    scaled = emit(relax.op.right_shift(scaled, int32(slope.shift)), f"{name}_leak")
    return emit(relax.op.maximum(expr, scaled), f"{name}_leaky")


def requantise(acc: Accumulator, bits: int, name: str, emit: Emit) -> Int8:
    """Round half up to ``bits`` fraction bits, clip to the activation's bounds, narrow to int8."""
    shift = acc.bits - bits
    low, high = acc.low, acc.high
    acc = replace(acc, low=-math.inf, high=math.inf)
    slope = None
    if shift > 0:
        slope, acc = acc.slope, replace(acc, slope=None)
        if shift > 30:
            raise ModelError(
                f"tensor {name}: {bits} fraction bits are {shift} fewer than its accumulator's; "
                "a shift by at most 30 can be compiled, so give it a finer scale"
            )
        rounding = np.asarray(1 << (shift - 1), np.int64)
        acc = replace(acc, bias=rounding if acc.bias is None else acc.bias + rounding)
    sums = settle(acc, emit)
    expr = sums.expr
    if shift > 0:
        expr = emit(relax.op.right_shift(expr, int32(shift)), f"{name}_shift")
        if slope is not None:
            expr = _leak(expr, slope, sums.bound >> shift, emit)
    elif shift < 0:
        if np.max(sums.bound) << min(-shift, 8) >= INT32_LIMIT:
            # Magnitudes from 128 up saturate after any left shift, so do not let them overflow.
            expr = emit(relax.op.clip(expr, -128, 128), f"{name}_narrow")
        # 8 places move even 1 past 127.
        expr = emit(relax.op.left_shift(expr, int32(min(-shift, 8))), f"{name}_shift")
    bounds = (
        -128 if low == -math.inf else min(127, max(-128, half_up(low, bits))),
        127 if high == math.inf else min(127, max(-128, half_up(high, bits))),
    )
    expr = emit(relax.op.clip(expr, *bounds), f"{name}_clip")
    return Int8(emit(relax.op.astype(expr, "int8"), name), bits)


def name_of(expr: relax.Expr) -> str:
    """The variable's name, for names of what follows and for messages."""
    return str(getattr(expr, "name", "constant"))
