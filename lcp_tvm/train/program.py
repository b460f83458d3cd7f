"""What a torch network computes, binding by binding, compiled once into a list of steps."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import tvm
from torch import nn
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.quantise.graph import op_name, shape_of
from lcp_tvm.train.operators import BROADCASTING, Builder, kind_of


@dataclass(frozen=True, slots=True)
class Step:
    """What computes values from which earlier ones.

    Attributes
    ----------
    compute : returns a value, or a tuple of them if there are more.
    operands, places : numbers of values.
    kind : steps of equal kinds can be computed side by side, along axis 1; None cannot be.
    """

    compute: Callable[..., Any]
    operands: tuple[int, ...]
    places: tuple[int, ...]
    kind: Hashable = None


def evaluate(steps: Sequence[Step], x: torch.Tensor, wanted: Collection[int]) -> dict[int, Any]:
    """Compute all steps, and return the wanted values by number.

    Others are dropped after their last reader, so that without gradients a network takes no more
    memory than its widest place.
    """
    last = {place: number for number, step in enumerate(steps) for place in step.operands}
    values: dict[int, Any] = {0: x}
    for number, step in enumerate(steps):
        made = step.compute(*[values[place] for place in step.operands])
        values.update(zip(step.places, made if len(step.places) > 1 else (made,), strict=True))
        for place in {*step.operands, *step.places}:
            if place not in wanted and last.get(place, number) == number:
                del values[place]
    return values


class Constant(nn.Module):
    """A constant that training leaves as it is."""

    value: torch.Tensor

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value, persistent=False)

    def forward(self) -> torch.Tensor:
        return self.value


@dataclass(slots=True)
class Program:
    """Steps in order; step ``i`` makes value ``i + 1``, value 0 is the input.

    Attributes
    ----------
    builder : makes the torch form of a call.
    places : the number of each variable's value.
    constants : those of the steps, for the network to hold.
    """

    builder: Builder
    places: dict[str, int]
    steps: list[Step] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    _fixed: set[int] = field(default_factory=set)  # values that do not depend on the input

    def bind(self, name: str, expr: relax.Expr) -> None:
        """Add the step of a binding."""
        if isinstance(expr, relax.Var):
            self.places[name] = self.places[expr.name]
        elif isinstance(expr, relax.TupleGetItem):
            self.add(name, operator.itemgetter(int(expr.index)), expr.tuple_value)
        elif isinstance(expr, relax.Call):
            self.add(name, self.builder(name, expr), *expr.args, kind=kind_of(expr))
        else:
            raise ModelError(
                f"cannot train {name}: {type(expr).__name__} is no call of an operator"
            )
        if self.places[name] not in self._fixed and isinstance(expr.ty, relax.TensorType):
            _check_batch(name, expr)
            self._check_ranks(name, expr)

    def _check_ranks(self, name: str, expr: relax.Expr) -> None:
        """Refuse to align the batch of an operand with a later axis of another one."""
        if op_name(expr) not in BROADCASTING:
            return
        rank = len(shape_of(expr))
        for arg in expr.args:
            moves = isinstance(arg, relax.Var) and self.places[arg.name] not in self._fixed
            if moves and len(shape_of(arg)) != rank:
                raise ModelError(
                    f"cannot train {name} = {op_name(expr)}: its result has more axes than "
                    f"{arg.name}, whose batch would become another one"
                )

    def add(
        self, name: str, compute: Callable[..., Any], *args: relax.Expr, kind: Hashable = None
    ) -> None:
        operands = tuple(place for arg in args for place in self.operands(arg))
        self.places[name] = self._append(compute, operands, kind)

    def operands(self, arg: relax.Expr) -> list[int]:
        """Return the values that an argument stands for: tuples are opened, sizes left out."""
        if isinstance(arg, relax.Var):
            return [self.places[arg.name]]
        if isinstance(arg, relax.Tuple):
            return [place for part in arg.fields for place in self.operands(part)]
        if isinstance(arg, tvm.ir.GenericConst):
            self.constants.append(Constant(tensor(arg.value.numpy())))
            return [self._append(self.constants[-1], ())]
        return []

    def _append(
        self, compute: Callable[..., Any], operands: tuple[int, ...], kind: Hashable = None
    ) -> int:
        place = len(self.steps) + 1
        self.steps.append(Step(compute, operands, (place,), kind))
        if self._fixed.issuperset(operands):
            self._fixed.add(place)
        return place


def _check_batch(name: str, expr: relax.Expr) -> None:
    """Refuse a result whose first axis is not the batch."""
    shape = shape_of(expr)
    if shape[:1] != (1,):
        raise ModelError(
            f"cannot train {name} = {op_name(expr)}: its result of shape {list(shape)} has no "
            "axis for a batch of pictures"
        )


def tensor(values: Any) -> torch.Tensor:
    """Return a copy of an array, placed as torch places its own: sums may depend on it."""
    return torch.tensor(np.asarray(values))
