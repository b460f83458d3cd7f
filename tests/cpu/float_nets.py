"""Float networks of a few layers, as imported ones are: plain operators of one main."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R


@dataclass(frozen=True, slots=True)
class Layers:
    """Emits operators with random constants."""

    builder: relax.BlockBuilder
    rng: np.random.Generator

    def __call__(self, value: relax.Expr) -> relax.Var:
        """Bind an operator."""
        return self.builder.emit(value)

    def constant(self, *shape: int) -> relax.Constant:
        """Return random numbers."""
        return relax.const(self.rng.normal(size=shape).astype(np.float32))

    def conv(self, x: relax.Expr, channels: int, kernel: int = 3, **how: Any) -> relax.Var:
        """Emit a convolution, padded to keep the size unless told otherwise."""
        depth = int(x.ty.shape[1]) // how.get("groups", 1)
        how.setdefault("padding", kernel // 2)
        weight = self.constant(channels, depth, kernel, kernel)
        return self(R.nn.conv2d(x, weight, **how))

    def biased(self, x: relax.Expr, channels: int, kernel: int = 3, **how: Any) -> relax.Var:
        """Emit a convolution and its bias."""
        return self(R.add(self.conv(x, channels, kernel, **how), self.constant(1, channels, 1, 1)))

    def dense(self, x: relax.Expr, outputs: int) -> relax.Var:
        """Emit a dense layer and its bias."""
        product = self(R.matmul(x, self.constant(int(x.ty.shape[1]), outputs)))
        return self(R.add(product, self.constant(1, outputs)))

    def flat(self, x: relax.Expr) -> relax.Var:
        """Emit [N, C * H * W] of a map."""
        batch, *sizes = (int(size) for size in x.ty.shape)
        return self(R.reshape(x, (batch, int(np.prod(sizes)))))


Body = Callable[[Layers, relax.Var], relax.Expr | Sequence[relax.Expr]]


def float_net(body: Body, shape: Sequence[int] = (1, 3, 11, 9), seed: int = 0) -> tvm.IRModule:
    """Return main(x) with ``body``'s result, or tuple of results."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(tuple(shape), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            made = body(Layers(builder, np.random.default_rng(seed)), x)
            results = [made] if isinstance(made, relax.Expr) else list(made)
            outputs = [builder.emit_output(result) for result in results]
        single = isinstance(made, relax.Expr)
        builder.emit_func_output(outputs[0] if single else relax.Tuple(outputs))
    return builder.get()
