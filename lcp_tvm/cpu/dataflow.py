"""Who computes the variables of a function, and who reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax

from lcp_tvm.relay_passes.rewrite import operands_of


@dataclass(frozen=True, slots=True, eq=False)
class Dataflow:
    """The bindings of a function.

    Attributes
    ----------
    values : what is bound to each variable, in order of computation.
    readers : variables that are computed from each variable; None is who reads a result.
    """

    values: dict[relax.Var, Any]
    readers: Mapping[relax.Var, Sequence[relax.Var | None]]

    def readers_of(self, var: relax.Var) -> Sequence[relax.Var | None]:
        """Return who reads a variable, twice who reads it twice."""
        return self.readers.get(var, ())

    def reader_of(self, var: relax.Var) -> relax.Var | None:
        """Return the variable that alone is computed from one that is no result."""
        readers = self.readers_of(var)
        return readers[0] if len(readers) == 1 else None


def dataflow_of(function: relax.Function) -> Dataflow:
    """Read a function."""
    values = {one.var: one.value for block in function.body.blocks for one in block.bindings}
    readers: dict[relax.Var, list[relax.Var | None]] = {}
    for var, value in values.items():
        for operand in operands_of(value):
            if isinstance(operand, relax.Var):
                readers.setdefault(operand, []).append(var)
    for result in operands_of(function.body.body):
        readers.setdefault(result, []).append(None)
    return Dataflow(values, readers)
