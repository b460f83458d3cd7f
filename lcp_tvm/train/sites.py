"""Where a Relax ``main`` keeps the numbers that training changes, and where it rounds others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.quantise.graph import op_name, shape_of, variables
from lcp_tvm.relay_passes.power_of_two import read_fraction_bits

Bindings = Mapping[str, relax.Expr]

_PRODUCTS = frozenset({"nn.conv2d", "nn.conv2d_transpose", "matmul"})
_MOVES = frozenset(
    ("nn.max_pool2d", "reshape", "squeeze", "expand_dims", "flatten", "permute_dims",
     "strided_slice", "concat")
)  # fmt: skip
"""Operators whose results are numbers of their operands."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A constant: the binding that has it, and which of its arguments it is.

    Attributes
    ----------
    stored : as it lies there; integers stand for ``stored * 2**-bits``.
    bits : fraction bits where the binding is a dequantize, else None.
    """

    binding: str
    argument: int
    stored: NDArray[Any]
    bits: int | None

    @property
    def value(self) -> NDArray[np.float32]:
        """The real numbers."""
        return np.ldexp(self.stored.astype(np.float64), -(self.bits or 0)).astype(np.float32)

    def store(self, value: NDArray[np.float32]) -> NDArray[Any]:
        """Return what lies there instead when the real numbers are these."""
        if self.bits is None:
            return value
        return np.rint(np.ldexp(value.astype(np.float64), self.bits)).astype(self.stored.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A layer: a product whose only reader adds a constant to it.

    Attributes
    ----------
    product, sum : the variables of both.
    channels : of the result.
    accumulator : fraction bits of the products where both operands are int8, else None.
    """

    product: str
    sum: str
    channels: int
    weight: Place
    bias: Place
    accumulator: int | None


def bindings_of(module: tvm.IRModule) -> dict[str, relax.Expr]:
    """Return the bindings of ``main`` in order."""
    blocks = module["main"].body.blocks
    return {binding.var.name: binding.value for block in blocks for binding in block.bindings}


def readers_of(bindings: Bindings) -> dict[str, list[str]]:
    """Return the bindings that read each variable."""
    readers: dict[str, list[str]] = {}
    for name, expr in bindings.items():
        for operand in variables(expr):
            readers.setdefault(operand, []).append(name)
    return readers


def find_sites(bindings: Bindings) -> tuple[Site, ...]:
    """Return the layers in order of computation.

    Raises
    ------
    ModelError
        A layer with int8 weights that it shares with another, or without a bias of its own.
    """
    readers = readers_of(bindings)
    found = (_site(bindings, readers, name) for name in bindings)
    return tuple(site for site in found if site is not None)


def find_slopes(bindings: Bindings) -> dict[str, Place]:
    """Return where PReLUs have their slopes."""
    slopes = {}
    for name, expr in bindings.items():
        if op_name(expr) == "nn.prelu":
            place = _place(bindings, name, 1)
            if place is not None and place.bits is None:
                slopes[name] = place
    return slopes


def find_pairs(bindings: Bindings) -> dict[str, tuple[str, int]]:
    """Return what rounds a variable to int8 and back: dequantize -> (quantize, fraction bits).

    Only where every reader of the integers is such a dequantize, of the same scale.
    """
    readers, pairs = readers_of(bindings), {}
    for name, expr in bindings.items():
        if op_name(expr) == "quantize":
            bits, backs = read_fraction_bits(expr, name), readers.get(name, [])
            if all(_dequantises(bindings[back], back, bits) for back in backs):
                pairs.update(dict.fromkeys(backs, (name, bits)))
    return pairs


def _dequantises(expr: relax.Expr, name: str, bits: int) -> bool:
    return op_name(expr) == "dequantize" and read_fraction_bits(expr, name) == bits


def _site(bindings: Bindings, readers: Mapping[str, list[str]], name: str) -> Site | None:
    expr = bindings[name]
    if op_name(expr) not in _PRODUCTS or not isinstance(expr.args[0], relax.Var):
        return None
    weight = _place(bindings, name, 1)
    if weight is None or (op_name(expr) == "matmul" and len(shape_of(expr)) != 2):
        return None
    sums, channels = readers.get(name, []), shape_of(expr)[1]
    bias = _bias(bindings, sums[0], channels) if len(sums) == 1 else None
    if weight.bits is not None and (bias is None or len(readers[weight.binding]) > 1):
        raise ModelError(
            f"cannot train {name}: a layer with int8 weights needs a constant bias and weights of "
            "its own; give the float model, which is quantised so"
        )
    if bias is None:
        return None
    data = _fraction_bits(bindings, expr.args[0])
    accumulator = None if data is None or weight.bits is None else data + weight.bits
    return Site(name, sums[0], channels, weight, bias, accumulator)


def _bias(bindings: Bindings, name: str, channels: int) -> Place | None:
    """Return the constant that is added, if it has one number per channel or one for all."""
    if op_name(bindings[name]) != "add":
        return None
    rank = len(shape_of(bindings[name]))
    for argument in (0, 1):
        place = _place(bindings, name, argument)
        if place is not None and place.stored.size in (1, channels):
            aligned = (1,) * (rank - place.stored.ndim) + place.stored.shape
            if aligned[1] == place.stored.size:
                return place
    return None


def _place(bindings: Bindings, name: str, argument: int) -> Place | None:
    """Return where an argument's real constant is.

    None where it is computed from the input, or is integers that no dequantize makes real.
    """
    value, bits = bindings[name].args[argument], None
    if isinstance(value, relax.Var) and op_name(bindings.get(value.name)) == "dequantize":
        name, argument = value.name, 0
        value, bits = bindings[name].args[0], read_fraction_bits(bindings[name], name)
    if not isinstance(value, tvm.ir.GenericConst) or (
        bits is None and str(value.ty.dtype) != "float32"
    ):
        return None
    return Place(name, argument, value.value.numpy(), bits)


def _fraction_bits(bindings: Bindings, data: relax.Expr) -> int | None:
    """Return the fraction bits of a variable whose numbers are all int8's, else None."""
    expr = bindings.get(data.name) if isinstance(data, relax.Var) else None
    if expr is None:
        return None
    if op_name(expr) == "dequantize":
        return read_fraction_bits(expr, data.name)
    if op_name(expr) not in _MOVES:
        return None
    operands = expr.args[0].fields if isinstance(expr.args[0], relax.Tuple) else [expr.args[0]]
    found = {_fraction_bits(bindings, operand) for operand in operands}
    return found.pop() if len(found) == 1 else None
