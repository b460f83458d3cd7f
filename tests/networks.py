"""Networks for tests: known structures with random weights, as ONNX models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def light_network(name: str, seed: int = 0) -> onnx.ModelProto:
    """A structure that the onnx package carries, its constant weights made random.

    Convolution and dense weights keep the scale of their input, so that no layer saturates.
    A softmax at the end is dropped: it is float, and the logits before it compare exactly.
    """
    rng = np.random.default_rng(seed)
    model = onnx.load(_LIGHT / f"light_{name}.onnx")
    graph = model.graph
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    roles = {
        tensor: index
        for node in graph.node
        if node.op_type == "BatchNormalization"
        for index, tensor in enumerate(node.input[1:])
    }
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        data = _random(rng, shape, roles.get(node.output[0]))
        graph.initializer.append(numpy_helper.from_array(data, node.output[0]))
    if kept[-1].op_type == "Softmax":
        graph.output[0].name = kept.pop().input[0]
    del graph.node[:]
    graph.node.extend(kept)
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = 8  # from 4 on, initializers need not be inputs
    return model


def _random(rng: np.random.Generator, shape: tuple[int, ...], role: int | None) -> np.ndarray:
    """Weights by shape; of a batch normalisation scale, shift, mean, variance by role."""
    if role is not None:
        low, high = ((0.5, 1.0), (-0.2, 0.2), (-0.2, 0.2), (0.5, 1.5))[role]
        return rng.uniform(low, high, shape).astype(np.float32)
    if len(shape) < 2:
        return rng.normal(0, 0.1, shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)


class _Builder:
    """An ONNX graph that grows node by node."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, data: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(data, name))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv_bn(
        self, name: str, x: str, shape: tuple[int, int, int], stride: int, *, groups: int = 1
    ) -> str:
        """Convolution (out, in, kernel) without bias, and batch normalisation."""
        outputs, inputs, kernel = shape
        weight = self.constant(
            f"{name}_w", _random(self.rng, (outputs, inputs // groups, kernel, kernel), None)
        )
        conv = self.node(
            "Conv", name, x, weight, strides=[stride] * 2, pads=[kernel // 2] * 4,
            kernel_shape=[kernel] * 2, group=groups,
        )  # fmt: skip
        parts = [
            self.constant(f"{name}_bn{role}", _random(self.rng, (outputs,), role))
            for role in range(4)
        ]
        return self.node("BatchNormalization", f"{name}_bn", conv, *parts)

    def dense(self, name: str, x: str, shape: tuple[int, int]) -> str:
        """Dense layer (out, in), its biases zero."""
        weight = self.constant(f"{name}_w", _random(self.rng, shape, None))
        bias = self.constant(f"{name}_b", np.zeros(shape[0], np.float32))
        return self.node("Gemm", name, x, weight, bias, transB=1)

    def relu6(self, name: str, x: str) -> str:
        bounds = (
            self.constant(f"{name}_{limit}", np.array(limit, dtype=np.float32)) for limit in (0, 6)
        )
        return self.node("Clip", name, x, *bounds)

    def classifier(self, x: str, channels: int) -> str:
        """Average over the plane, and scores of 1000 classes."""
        x = self.node("Flatten", "flat", self.node("GlobalAveragePool", "pool", x))
        weight = self.constant("fc_w", _random(self.rng, (1000, channels), None))
        bias = self.constant("fc_b", _random(self.rng, (1000,), None))
        return self.node("Gemm", "logits", x, weight, bias, transB=1)

    def model(self, name: str, size: tuple[int, ...], output: str, classes: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(size))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, classes])],
            self.initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18(size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """ResNet-18 (He et al., arXiv 1512.03385, table 1) with random weights."""
    b = _Builder(seed)
    x = b.node("Relu", "relu1", b.conv_bn("conv1", "image", (64, 3, 7), 2))
    x = b.node("MaxPool", "pool1", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512), start=2):
        for block in range(2):
            name, stride = f"conv{stage}_{block}", 2 if stage > 2 and block == 0 else 1
            y = b.node(
                "Relu", f"{name}a_relu", b.conv_bn(f"{name}a", x, (width, channels, 3), stride)
            )
            y = b.conv_bn(f"{name}b", y, (width, width, 3), 1)
            if stride != 1:
                x = b.conv_bn(f"{name}s", x, (width, channels, 1), stride)
            x = b.node("Relu", f"{name}_relu", b.node("Add", f"{name}_add", y, x))
            channels = width
    return b.model("resnet18", (1, 3, size, size), b.classifier(x, 512), 1000)


def mobilenet(size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """MobileNetV1 (Howard et al., arXiv 1704.04861, table 1) with random weights."""
    b = _Builder(seed)
    x = b.node("Relu", "relu0", b.conv_bn("conv0", "image", (32, 3, 3), 2))
    channels = 32
    widths = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
    for number, width in enumerate(widths, start=1):
        stride = 2 if number in (2, 4, 6, 12) else 1
        deep = b.conv_bn(f"deep{number}", x, (channels, channels, 3), stride, groups=channels)
        x = b.node("Relu", f"deep{number}_relu", deep)
        x = b.node("Relu", f"relu{number}", b.conv_bn(f"conv{number}", x, (width, channels, 1), 1))
        channels = width
    return b.model("mobilenet", (1, 3, size, size), b.classifier(x, 1024), 1000)


def efficientnet_lite0(size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """EfficientNet-Lite0 (EfficientNet-B0, arXiv 1905.11946, table 1, without squeeze-and-excite
    and swish) with random weights.
    """
    b = _Builder(seed)
    x = b.relu6("relu0", b.conv_bn("conv0", "image", (32, 3, 3), 2))
    channels = 32
    stages = (  # kernel, stride, expansion, channels, blocks
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    )
    for stage, (kernel, stride, expansion, width, blocks) in enumerate(stages, start=1):
        for block in range(blocks):
            name, y, wide = f"{stage}_{block}", x, channels * expansion
            if expansion > 1:
                y = b.relu6(f"wide{name}_relu", b.conv_bn(f"wide{name}", y, (wide, channels, 1), 1))
            step = stride if block == 0 else 1
            y = b.conv_bn(f"deep{name}", y, (wide, wide, kernel), step, groups=wide)
            y = b.conv_bn(f"conv{name}", b.relu6(f"deep{name}_relu", y), (width, wide, 1), 1)
            x = y if block == 0 else b.node("Add", f"add{name}", y, x)
            channels = width
    x = b.relu6("head_relu", b.conv_bn("head", x, (1280, channels, 1), 1))
    return b.model("efficientnet_lite0", (1, 3, size, size), b.classifier(x, 1280), 1000)


def vgg16(size: int = 224, seed: int = 0, *, dense: bool = False) -> onnx.ModelProto:
    """VGG16 (Simonyan and Zisserman, arXiv 1409.1556, column D), its convolutions and pools.

    ``dense`` adds the three dense layers: 494 MB of weights.
    """
    b = _Builder(seed)
    x, channels = "image", 3
    for stage, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            weight = b.constant(f"{name}_w", _random(b.rng, (width, channels, 3, 3), None))
            bias = b.constant(f"{name}_b", _random(b.rng, (width,), None))
            conv = b.node("Conv", name, x, weight, bias, pads=[1] * 4, kernel_shape=[3, 3])
            x, channels = b.node("Relu", f"{name}_relu", conv), width
        x = b.node("MaxPool", f"pool{stage}", x, kernel_shape=[2, 2], strides=[2, 2])
    x, features = b.node("Flatten", "features", x), channels * (size // 32) ** 2
    if not dense:
        return b.model("vgg16", (1, 3, size, size), x, features)
    for number, width in enumerate((4096, 4096), start=6):
        x = b.node("Relu", f"fc{number}_relu", b.dense(f"fc{number}", x, (width, features)))
        features = width
    return b.model("vgg16", (1, 3, size, size), b.dense("fc8", x, (1000, features)), 1000)


def decoder(size: int = 16, seed: int = 0) -> onnx.ModelProto:
    """Two convolutions down, two transposed ones up (4x4, stride 2, as DCGAN has them)."""
    b = _Builder(seed)
    x, channels = "image", 3
    for number, width in enumerate((32, 48)):
        weight = b.constant(f"down{number}_w", _random(b.rng, (width, channels, 3, 3), None))
        x = b.node("Conv", f"down{number}", x, weight, strides=[2, 2], pads=[1] * 4)
        x, channels = b.node("Relu", f"down{number}_relu", x), width
    for number, width in enumerate((32, 16)):
        weight = b.constant(f"up{number}_w", _random(b.rng, (channels, width, 4, 4), None))
        bias = b.constant(f"up{number}_b", _random(b.rng, (width,), None))
        x = b.node("ConvTranspose", f"up{number}", x, weight, bias, strides=[2, 2], pads=[1] * 4)
        x, channels = b.node("LeakyRelu", f"up{number}_relu", x, alpha=0.2), width
    x = b.node("Flatten", "pixels", x)
    return b.model("decoder", (1, 3, size, size), x, channels * size**2)


def small_classifier(classes: int = 4, size: int = 12, seed: int = 0) -> onnx.ModelProto:
    """Two convolutions and two dense layers for grey pictures, as LeNet has them."""
    b = _Builder(seed)
    x, channels = "image", 1
    for number, width in enumerate((8, 16), 1):
        x = b.node("Relu", f"relu{number}", b.conv_bn(f"conv{number}", x, (width, channels, 3), 1))
        x = b.node("MaxPool", f"pool{number}", x, kernel_shape=[2, 2], strides=[2, 2])
        channels = width
    x, inputs = b.node("Flatten", "flat", x), channels * (size // 4) ** 2
    x = b.node("Relu", "dense_relu", b.dense("dense", x, (24, inputs)))
    return b.model("small", (1, 1, size, size), b.dense("scores", x, (classes, 24)), classes)
