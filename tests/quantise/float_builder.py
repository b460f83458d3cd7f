"""Builds small float networks for tests of the quantiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.network import Network, Preprocess


class Floats:
    """A float Relax function under construction; ``x`` is its input, weights are seeded."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        self.x = relax.Var("x", relax.TensorType(shape, "float32"))
        self.random = np.random.default_rng(seed)
        self._builder = relax.BlockBuilder()

    def emit(self, expr: Any, name: str = "") -> Any:
        return self._builder.emit(expr, name_hint=name)

    def normal(self, *shape: int, spread: float = 0.0) -> np.ndarray[Any, Any]:
        """Weights; ``spread`` makes the ranges of output channels differ by its exponential."""
        scale = np.exp(spread * self.random.normal(size=(shape[0],) + (1,) * (len(shape) - 1)))
        fan_in = max(1.0, float(np.prod(shape[1:])))
        return np.asarray(self.random.normal(size=shape) * scale / np.sqrt(fan_in), np.float32)

    def conv(
        self, x: Any, outputs: int, kernel: int, name: str, groups: int = 1, spread: float = 0.0
    ) -> Any:
        """Convolution with padding and a bias."""
        inputs = int(x.ty.shape[1]) // groups
        weight = relax.const(self.normal(outputs, inputs, kernel, kernel, spread=spread))
        y = self.emit(R.nn.conv2d(x, weight, padding=kernel // 2, groups=groups), name)
        bias = relax.const(self.normal(outputs).reshape(1, -1, 1, 1))
        return self.emit(R.add(y, bias), f"{name}_sum")

    def relu(self, x: Any, name: str = "") -> Any:
        return self.emit(R.nn.relu(x), name)

    def build(self, body: Callable[[Floats], Any]) -> tvm.IRModule:
        with self._builder.function("main", [self.x]):
            with self._builder.dataflow():
                result = self._builder.emit_output(body(self))
            self._builder.emit_func_output(result)
        return self._builder.get()


def network(module: tvm.IRModule) -> Network:
    shape = tuple(int(size) for size in module["main"].params[0].ty.shape)
    return Network("test", module, "x", shape, Preprocess(shape[2:]))


def small_residual(f: Floats) -> Any:
    """Stem, depthwise, linear bottleneck with a residual, average pooling, dense, softmax."""
    stem = f.emit(R.clip(f.conv(f.x, 8, 3, "stem", spread=1.0), 0, 6), "stem_out")
    deep = f.relu(f.conv(stem, 8, 3, "deep", groups=8, spread=1.0), "deep_out")
    join = f.emit(R.add(f.conv(deep, 8, 1, "narrow", spread=1.0), stem), "join")
    wide = f.relu(f.conv(join, 16, 1, "wide"), "wide_out")
    pooled = f.emit(R.mean(wide, axis=[2, 3], keepdims=True), "pooled")
    flat = f.emit(R.reshape(pooled, (1, 16)), "flat")
    scores = f.emit(R.matmul(flat, relax.const(f.normal(16, 5))), "dense")
    scores = f.emit(R.add(scores, relax.const(f.normal(5))), "scores")
    return f.emit(R.nn.softmax(scores))


def pictures(count: int, *shape: int, seed: int = 1) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, *shape)).astype(np.float32)
