"""Where a Relax ``main`` keeps the numbers that training changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.quantise.graph import constant, op_name, shape_of, variables

_PRODUCTS = frozenset({"nn.conv2d", "nn.conv2d_transpose", "matmul"})

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A constant: the binding that has it, and which of its arguments it is."""

    binding: str
    argument: int
    value: Array


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A layer: a product whose only reader adds a constant to it."""

    product: str
    sum: str
    data: str
    channels: int  # of the result
    weight: Place
    bias: Place


def bindings_of(module: tvm.IRModule) -> dict[str, relax.Expr]:
    """Return the bindings of ``main`` in order."""
    blocks = module["main"].body.blocks
    return {binding.var.name: binding.value for block in blocks for binding in block.bindings}


def find_sites(bindings: Mapping[str, relax.Expr]) -> tuple[Site, ...]:
    """Return the layers in order of computation."""
    readers: dict[str, list[str]] = {}
    for name, expr in bindings.items():
        for operand in variables(expr):
            readers.setdefault(operand, []).append(name)
    found = (_site(bindings, name, readers.get(name, [])) for name in bindings)
    return tuple(site for site in found if site is not None)


def find_slopes(bindings: Mapping[str, relax.Expr]) -> dict[str, Place]:
    """Return where PReLUs have their slopes."""
    places = {
        name: _place(bindings, name, 1)
        for name, expr in bindings.items()
        if op_name(expr) == "nn.prelu"
    }
    return {name: place for name, place in places.items() if place is not None}


def _site(bindings: Mapping[str, relax.Expr], name: str, readers: list[str]) -> Site | None:
    expr = bindings[name]
    if op_name(expr) not in _PRODUCTS or len(readers) != 1:
        return None
    if op_name(expr) == "matmul" and len(shape_of(expr)) != 2:
        return None
    (total,), channels = readers, shape_of(expr)[1]
    weight, bias = _place(bindings, name, 1), _bias(bindings, total, channels)
    if weight is None or bias is None or not isinstance(expr.args[0], relax.Var):
        return None
    return Site(name, total, expr.args[0].name, channels, weight, bias)


def _bias(bindings: Mapping[str, relax.Expr], name: str, channels: int) -> Place | None:
    """Return the constant that is added, if it has one number per channel or one for all."""
    if op_name(bindings[name]) != "add":
        return None
    rank = len(shape_of(bindings[name]))
    for argument in (0, 1):
        place = _place(bindings, name, argument)
        if place is not None and place.value.size in (1, channels):
            aligned = (1,) * (rank - place.value.ndim) + place.value.shape
            if aligned[1] == place.value.size:
                return place
    return None


def _place(bindings: Mapping[str, relax.Expr], name: str, argument: int) -> Place | None:
    """Return where an argument's constant is, or None where it is computed from the input."""
    value = constant(bindings[name].args[argument])
    return None if value is None else Place(name, argument, value)
