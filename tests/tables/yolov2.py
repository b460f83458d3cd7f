"""The first 16 layers of YOLOv2, which the DeepThings paper splits, with random weights.

Batch normalisation is folded into the convolutions, as Darknet's weights are for inference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with leaky ReLU, stride 1 and padding to the same size; or a 2x2 pool."""

    kernel: int
    filters: int | None = None


_POOL = Layer(2)
LAYERS = (
    Layer(3, 32), _POOL,
    Layer(3, 64), _POOL,
    Layer(3, 128), Layer(1, 64), Layer(3, 128), _POOL,
    Layer(3, 256), Layer(1, 128), Layer(3, 256), _POOL,
    Layer(3, 512), Layer(1, 256), Layer(3, 512), Layer(1, 256),
)  # fmt: skip
"""Twelve convolutions and four pools (section V)."""


def leaky_relu(value: relax.Expr) -> relax.Expr:
    """Darknet's activation."""
    return R.nn.leakyrelu(value, 0.1)


def yolov2(
    size: int = 608,
    *,
    pool: int = 2,
    activation: Callable[[relax.Expr], relax.Expr] = leaky_relu,
) -> tvm.IRModule:
    """Return the layers.

    Parameters
    ----------
    size : rows and columns of the picture, a multiple of 16.
    pool : rows and columns of a pool's window. 4 gives maps of the same sizes from one row more
        on each side: what a split has to exchange if it takes equation 1 for pools too.
    activation : what follows every convolution.
    """
    rng = np.random.default_rng(0)
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((1, 3, size, size), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            value: Any = image
            channels = 3
            for layer in LAYERS:
                if layer.filters is None:
                    window, padding = [pool, pool], pool // 2 - 1
                    value = builder.emit(
                        R.nn.max_pool2d(value, window, strides=[2, 2], padding=padding)
                    )
                    continue
                shape = (layer.filters, channels, layer.kernel, layer.kernel)
                weight = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
                bias = rng.normal(0, 0.1, (1, layer.filters, 1, 1))
                value = builder.emit(
                    R.nn.conv2d(value, _constant(weight), padding=layer.kernel // 2)
                )
                value = builder.emit(R.add(value, _constant(bias)))
                value = builder.emit(activation(value))
                channels = layer.filters
            output = builder.emit_output(value)
        builder.emit_func_output(output)
    return builder.finalize()


def _constant(values: Any) -> Any:
    return relax.const(values.astype(np.float32))
