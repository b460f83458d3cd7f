"""The four untrained networks of the example, as ONNX: LeNet, CifarNet, a VGG and a ResNet.

All take grey 28x28 pictures of Fashion-MNIST and tell ten classes apart. Weights are random, by
He's rule; batch norm is left to training, which puts one behind every layer and folds it again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
SIZE = 28
# Pixel mean and deviation of the training pictures, in units of value / 255.
PREPROCESS = {"size": [SIZE, SIZE], "mean": [0.2860], "std": [0.3530], "scale": 1 / 255,
              "channels": "L", "resize": "squash"}  # fmt: skip


@dataclass(slots=True)
class Builder:
    """An ONNX graph under construction; every method adds a layer and returns its tensor."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def layer(self, name: str, shape: tuple[int, ...]) -> list[str]:
        """Add the weights and biases of a layer, [out, in, ...]."""
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weights = self.random.normal(0, deviation, shape)
        return [
            self.weight(f"{name}_weight", weights),
            self.weight(f"{name}_bias", np.zeros(shape[0])),
        ]

    def conv(self, x: str, name: str, shape: tuple[int, int, int], stride: int = 1) -> str:
        """Add a convolution of (out, in, kernel), padded to keep the map's size at stride 1."""
        out, channels, kernel = shape
        weights = self.layer(name, (out, channels, kernel, kernel))
        pads, strides = [kernel // 2] * 4, [stride] * 2
        return self.node("Conv", [x, *weights], name, pads=pads, strides=strides)

    def conv_relu(self, x: str, name: str, shape: tuple[int, int, int], stride: int = 1) -> str:
        return self.relu(self.conv(x, name, shape, stride))

    def relu(self, x: str) -> str:
        return self.node("Relu", [x], f"{x}_relu")

    def pool(self, x: str, name: str) -> str:
        """Halve a map by maxima."""
        return self.node("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])

    def dense(self, x: str, name: str, out: int, inputs: int) -> str:
        return self.node("Gemm", [x, *self.layer(name, (out, inputs))], name, transB=1)

    def flatten(self, x: str) -> str:
        return self.node("Flatten", [x], f"{x}_flat")


def lenet(net: Builder, x: str) -> str:
    """Three 5x5 convolutions and two dense layers, as LCP's Table 2 counts them."""
    x = net.pool(net.conv_relu(x, "conv1", (8, 1, 5)), "pool1")
    x = net.pool(net.conv_relu(x, "conv2", (16, 8, 5)), "pool2")
    x = net.flatten(net.conv_relu(x, "conv3", (32, 16, 5)))
    x = net.relu(net.dense(x, "dense1", 80, 32 * 49))
    return net.dense(x, "scores", len(LABELS), 80)


def cifarnet(net: Builder, x: str) -> str:
    """Two 5x5 convolutions and two dense layers."""
    x = net.pool(net.conv_relu(x, "conv1", (32, 1, 5)), "pool1")
    x = net.flatten(net.pool(net.conv_relu(x, "conv2", (64, 32, 5)), "pool2"))
    x = net.relu(net.dense(x, "dense1", 192, 64 * 49))
    return net.dense(x, "scores", len(LABELS), 192)


def vgg(net: Builder, x: str) -> str:
    """Four 5x5 convolutions and two dense layers, in the manner of the VGG-S of LCP."""
    x = net.conv_relu(x, "conv1", (32, 1, 5))
    x = net.pool(net.conv_relu(x, "conv2", (32, 32, 5)), "pool1")
    x = net.conv_relu(x, "conv3", (128, 32, 5))
    x = net.flatten(net.pool(net.conv_relu(x, "conv4", (128, 128, 5)), "pool2"))
    x = net.relu(net.dense(x, "dense1", 64, 128 * 49))
    return net.dense(x, "scores", len(LABELS), 64)


def resnet(net: Builder, x: str) -> str:
    """A stem and three blocks of two 3x3 convolutions with a skip around them."""
    x = net.pool(net.conv_relu(x, "stem", (32, 1, 3)), "pool")
    x = block(net, x, "block1", 32, 32)
    x = block(net, x, "block2", 32, 64, stride=2)
    x = block(net, x, "block3", 64, 128, stride=2)
    x = net.flatten(net.node("GlobalAveragePool", [x], "features"))
    return net.dense(x, "scores", len(LABELS), 128)


def block(net: Builder, x: str, name: str, channels: int, out: int, stride: int = 1) -> str:
    """Add a basic block; the skip is a 1x1 convolution where the shape changes."""
    skip = x
    if channels != out or stride > 1:
        skip = net.conv(x, f"{name}_skip", (out, channels, 1), stride)
    x = net.conv_relu(x, f"{name}_conv1", (out, channels, 3), stride)
    x = net.conv(x, f"{name}_conv2", (out, out, 3))
    return net.relu(net.node("Add", [x, skip], f"{name}_add"))


NETWORKS: dict[str, Callable[[Builder, str], str]] = {
    "lenet": lenet,
    "cifarnet": cifarnet,
    "vgg": vgg,
    "resnet": resnet,
}


def build(name: str, seed: int) -> onnx.ModelProto:
    """Return a network with random weights; preprocessing and labels are in its metadata."""
    net = Builder(np.random.default_rng(seed))
    scores = NETWORKS[name](net, "picture")
    value_info, number = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        net.nodes,
        name,
        [value_info("picture", number, [1, 1, SIZE, SIZE])],
        [value_info(scores, number, [1, len(LABELS)])],
        net.weights,
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.helper.set_model_props(
        model,
        {"lcp_tvm.preprocess": json.dumps(PREPROCESS), "lcp_tvm.labels": json.dumps(LABELS)},
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where NAME.onnx of every network is written")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        onnx.save(build(name, options.seed), options.folder / f"{name}.onnx")


if __name__ == "__main__":
    main()
