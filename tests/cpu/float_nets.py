"""Float networks of a few layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from tests.cpu.nets import Emitter, Results, net_of


class Layers(Emitter):
    """Emits float32 operators with random constants."""

    __slots__ = ()

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


Body = Callable[[Layers, relax.Var], Results]


def float_net(body: Body, shape: Sequence[int] = (1, 3, 11, 9), seed: int = 0) -> tvm.IRModule:
    """Return main(x) with ``body``'s result, or tuple of results."""
    return net_of(Layers, body, shape, "float32", seed)
