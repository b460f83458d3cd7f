"""The networks of the LCP paper in float Relax, as they are after clean-up; all weights are zero.

Batch normalisation is folded, so that it leaves one bias per channel. Local response
normalisation and dropout have no parameters and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R


@dataclass
class Zeros:
    """Builds ``main`` layer by layer."""

    shape: tuple[int, int, int]
    builder: relax.BlockBuilder = field(default_factory=relax.BlockBuilder)

    def __post_init__(self) -> None:
        self.image = relax.Var("image", relax.TensorType((1, *self.shape), "float32"))
        self.bindings: list[Any] = []

    def emit(self, expr: Any, name: str = "h") -> Any:
        value = self.builder.normalize(expr)
        var = relax.DataflowVar(f"{name}_{len(self.bindings)}", value.ty)
        self.bindings.append(relax.VarBinding(var, value))
        return var

    def conv(
        self, h: Any, width: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> Any:
        """Convolution with a bias."""
        weight = _zeros(width, int(h.ty.shape[1]) // groups, kernel, kernel)
        h = R.nn.conv2d(h, weight, strides=stride, padding=padding, groups=groups)
        return self.emit(R.add(self.emit(h, "conv"), _zeros(1, width, 1, 1)), "biased")

    def relu(self, h: Any) -> Any:
        return self.emit(R.nn.relu(h), "relu")

    def pool(self, h: Any, kernel: int, stride: int, padding: Sequence[int] = (0,) * 4) -> Any:
        """Maximum; padding is top, left, bottom, right."""
        return self.emit(R.nn.max_pool2d(h, [kernel] * 2, [stride] * 2, list(padding)), "pool")

    def average(self, h: Any) -> Any:
        """Mean over whole channels."""
        return self.emit(R.mean(h, [2, 3], keepdims=True), "average")

    def dense(self, h: Any, width: int) -> Any:
        """Dense layer with a bias on a flattened tensor."""
        sizes = [int(size) for size in h.ty.shape]
        if len(sizes) == 4:
            h = self.emit(R.reshape(h, (1, prod(sizes))), "flat")
        h = self.emit(R.matmul(h, _zeros(prod(sizes), width)), "fc")
        return self.emit(R.add(h, _zeros(width)), "biased")

    def finish(self, result: Any) -> tvm.IRModule:
        output = relax.Var("scores", result.ty)
        block = relax.DataflowBlock([*self.bindings, relax.VarBinding(output, result)])
        main = relax.Function([self.image], relax.SeqExpr([block], output), output.ty)
        return tvm.IRModule({"main": main.with_attr("global_symbol", "main")})


def _zeros(*shape: int) -> Any:
    return relax.const(np.zeros(shape, np.float32))


Conv = tuple[int, int, int, int]
"""Width, kernel, stride, padding on every side."""

Pool = tuple[int, int, int]
"""Kernel, stride, padding at the bottom and right: TensorFlow's SAME, ONNX's ceil mode."""


def conv_net(
    features: Sequence[Conv | Pool], dense: Sequence[int], shape: tuple[int, int, int]
) -> tvm.IRModule:
    """Convolutions with ReLU and pools, then dense layers."""
    net = Zeros(shape)
    h = net.image
    for layer in features:
        if len(layer) == 4:
            h = net.relu(net.conv(h, *layer))
        else:
            kernel, stride, after = layer
            h = net.pool(h, kernel, stride, (0, 0, after, after))
    for width in dense[:-1]:
        h = net.relu(net.dense(h, width))
    return net.finish(net.dense(h, dense[-1]))


def lenet_fc() -> tvm.IRModule:
    """LeNet-300-100."""
    return conv_net([], [300, 100, 10], (1, 28, 28))


def lenet() -> tvm.IRModule:
    """LeNet-5 with three convolutions; MNIST padded to 32x32."""
    return conv_net(
        [(6, 5, 1, 0), (2, 2, 0), (16, 5, 1, 0), (2, 2, 0), (120, 5, 1, 0)],
        [84, 10],
        (1, 32, 32),
    )


def cifarnet(classes: int) -> tvm.IRModule:
    """TensorFlow-Slim's cifarnet, but its convolutions unpadded: 1,600 inputs to the first fc."""
    return conv_net(
        [(64, 5, 1, 0), (2, 2, 0), (64, 5, 1, 0), (2, 2, 0)], [384, 192, classes], (3, 32, 32)
    )


def vgg_s(classes: int) -> tvm.IRModule:
    """CNN-S (Chatfield et al., arXiv 1405.3531); convolutions unpadded, pools rounded up."""
    features = [
        (96, 7, 2, 0), (3, 3, 2),  # 109, 37
        (256, 5, 1, 0), (2, 2, 1),  # 33, 17
        (512, 3, 1, 0), (512, 3, 1, 0), (512, 3, 1, 0), (3, 3, 1),  # 15, 13, 11, 4
    ]  # fmt: skip
    return conv_net(features, [4096, 4096, classes], (3, 224, 224))


def alexnet() -> tvm.IRModule:
    """TensorFlow-Slim's alexnet_v2 (arXiv 1404.5997), its fc6 a convolution of 5x5 there."""
    features = [
        (64, 11, 4, 0), (3, 2, 0),  # 54, 26
        (192, 5, 1, 2), (3, 2, 0),  # 26, 12
        (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1), (3, 2, 0),  # 12, 5
    ]  # fmt: skip
    return conv_net(features, [4096, 4096, 1000], (3, 224, 224))


def vgg16() -> tvm.IRModule:
    """Configuration D (arXiv 1409.1556)."""
    features: list[Conv | Pool] = []
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        features += [(width, 3, 1, 1)] * depth
        features.append((2, 2, 0))
    return conv_net(features, [4096, 4096, 1000], (3, 224, 224))


def resnet(depth: int, size: int = 224) -> tvm.IRModule:
    """ResNet-18 or ResNet-50 (arXiv 1512.03385, table 1), with projections where sizes change."""
    net = Zeros((3, size, size))
    h = net.pool(net.relu(net.conv(net.image, 64, 7, 2, 3)), 3, 2, (1,) * 4)
    for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            h = (_basic if depth == 18 else _bottleneck)(net, h, 64 << stage, stride)
    return net.finish(net.dense(net.average(h), 1000))


def _basic(net: Zeros, x: Any, width: int, stride: int) -> Any:
    h = net.relu(net.conv(x, width, 3, stride, 1))
    return _joined(net, x, net.conv(h, width, 3, 1, 1), stride)


def _bottleneck(net: Zeros, x: Any, width: int, stride: int) -> Any:
    h = net.relu(net.conv(x, width, 1, stride))
    h = net.relu(net.conv(h, width, 3, 1, 1))
    return _joined(net, x, net.conv(h, 4 * width, 1), stride)


def _joined(net: Zeros, x: Any, h: Any, stride: int) -> Any:
    width = int(h.ty.shape[1])
    skip = net.conv(x, width, 1, stride) if int(x.ty.shape[1]) != width else x
    return net.relu(net.emit(R.add(h, skip), "join"))


def mobilenet(size: int = 224) -> tvm.IRModule:
    """MobileNetV1 (arXiv 1704.04861, table 1)."""
    net = Zeros((3, size, size))
    h = net.relu(net.conv(net.image, 32, 3, 2, 1))
    widths = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for width, stride in [*widths, (1024, 2), (1024, 1)]:
        channels = int(h.ty.shape[1])
        h = net.relu(net.conv(h, channels, 3, stride, 1, groups=channels))
        h = net.relu(net.conv(h, width, 1))
    return net.finish(net.dense(net.average(h), 1000))
