"""Quantised networks of a few layers: integer Relax as docs/architecture.md has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from tests.cpu.nets import Emitter, Results, net_of


class Layers(Emitter):
    """Emits integer operators with random constants."""

    __slots__ = ()

    def constant(self, *shape: int) -> relax.Constant:
        """Return weights."""
        return relax.const(self.rng.integers(-128, 128, shape).astype(np.int8))

    def bias(self, *shape: int) -> relax.Constant:
        """Return what is added to sums."""
        return relax.const(self.rng.integers(-5000, 5000, shape).astype(np.int32))

    def entry(self, x: relax.Expr, factor: float = 32.0) -> relax.Var:
        """Quantise float32."""
        rounded = self(R.round(self(R.multiply(x, relax.const(factor)))))
        return self(R.astype(self(R.clip(rounded, -128, 127)), "int8"))

    def conv(self, x: relax.Expr, channels: int, kernel: int = 3, **how: Any) -> relax.Var:
        """Emit the sums of a convolution, padded to keep the size unless told otherwise."""
        depth = int(x.ty.shape[1]) // how.get("groups", 1)
        how.setdefault("padding", kernel // 2)
        weight = self.constant(channels, depth, kernel, kernel)
        sums = self(R.nn.conv2d(x, weight, out_dtype="int32", **how))
        return self(R.add(sums, self.bias(1, channels, 1, 1)))

    def wide(self, x: relax.Expr, places: int = 0) -> relax.Var:
        """Return a map as it is added to sums."""
        made = self(R.astype(x, "int32"))
        return self(R.left_shift(made, self.number(places))) if places else made

    def finish(self, sums: relax.Expr, shift: int = 10, low: int = -128) -> relax.Var:
        """Requantise."""
        shifted = self(R.right_shift(sums, self.number(shift)))
        return self(R.astype(self(R.clip(shifted, low, 127)), "int8"))

    def leaky(self, sums: relax.Expr) -> relax.Var:
        """Requantise with a leaky ReLU."""
        whole = self(R.right_shift(sums, self.number(9)))
        part = self(R.add(self(R.multiply(whole, self.number(3))), self.number(16)))
        both = self(R.maximum(self(R.right_shift(part, self.number(5))), whole))
        return self(R.astype(self(R.clip(both, -128, 127)), "int8"))

    def number(self, value: int) -> relax.Constant:
        """Return an int32."""
        return relax.const(np.int32(value))

    def mean(self, x: relax.Expr) -> relax.Var:
        """Emit a global average."""
        sums = self(R.sum(self.wide(x), axis=[2, 3], keepdims=True))
        product = self(R.add(self(R.multiply(sums, self.number(97))), self.number(4096)))
        return self.finish(product, 13)

    def dense(self, x: relax.Expr, outputs: int) -> relax.Var:
        """Emit a dense layer."""
        weight = self.constant(int(x.ty.shape[1]), outputs)
        product = self(R.matmul(x, weight, out_dtype="int32"))
        return self.finish(self(R.add(product, self.bias(outputs))))

    def exit(self, x: relax.Expr) -> relax.Var:
        """Return to float32."""
        return self(R.multiply(self(R.astype(x, "float32")), relax.const(0.25)))


Body = Callable[[Layers, relax.Var], Results]


def integer_net(
    body: Body, shape: Sequence[int] = (1, 3, 11, 9), dtype: str = "float32"
) -> tvm.IRModule:
    """Return main(x) with ``body``'s result, or tuple of results."""
    return net_of(Layers, body, shape, dtype, seed=3)
