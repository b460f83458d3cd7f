"""Networks of a few layers, as imported ones are: plain operators of one main."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import tvm
from tvm import relax


@dataclass(frozen=True, slots=True)
class Emitter:
    """Emits operators; random constants come from ``rng``."""

    builder: relax.BlockBuilder
    rng: np.random.Generator

    def __call__(self, value: relax.Expr) -> relax.Var:
        """Bind an operator."""
        return self.builder.emit(value)


Results = relax.Expr | Sequence[relax.Expr]
Layers = TypeVar("Layers", bound=Emitter)


def net_of(
    layers: type[Layers],
    body: Callable[[Layers, relax.Var], Results],
    shape: Sequence[int],
    dtype: str,
    seed: int,
) -> tvm.IRModule:
    """Return main(x) with ``body``'s result, or tuple of results."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(tuple(shape), dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            made = body(layers(builder, np.random.default_rng(seed)), x)
            results = [made] if isinstance(made, relax.Expr) else list(made)
            outputs = [builder.emit_output(result) for result in results]
        single = isinstance(made, relax.Expr)
        builder.emit_func_output(outputs[0] if single else relax.Tuple(outputs))
    return builder.get()
