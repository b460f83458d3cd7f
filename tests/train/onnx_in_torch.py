"""An ONNX classifier in plain torch, node by node: what the way over Relax is judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

LAYERS = ("Conv", "Gemm", "MatMul")


class OnnxInTorch:
    """``weights`` and ``biases`` of convolutions and dense layers, as ONNX has them, in order."""

    def __init__(self, model: onnx.ModelProto, dtype: torch.dtype) -> None:
        self._graph = model.graph
        self._constants = {
            tensor.name: _tensor(tensor, dtype) for tensor in model.graph.initializer
        }
        layers = [node for node in model.graph.node if node.op_type in LAYERS]
        self.weights = [self._leaf(node.input[1]) for node in layers]
        self.biases = [self._leaf(self._bias(node)) for node in layers]

    def _bias(self, layer: onnx.NodeProto) -> str:
        """The third operand, or what a sum adds to the product."""
        if len(layer.input) == 3:
            return str(layer.input[2])
        (add,) = (node for node in self._graph.node if layer.output[0] in node.input)
        return str(add.input[1])

    def _leaf(self, name: str) -> torch.Tensor:
        return self._constants[name].requires_grad_()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        values = {**self._constants, self._graph.input[0].name: x}
        for node in self._graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            operands = [values[name] for name in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](attributes, *operands)
        return values[self._graph.output[0].name]

    def gradients(self) -> list[np.ndarray[Any, Any]]:
        """Of all weights, dense ones as [K, N], then of all biases."""
        dense = [node.op_type == "Gemm" for node in self._graph.node if node.op_type in LAYERS]
        weights = [
            leaf.grad.T if flip else leaf.grad
            for leaf, flip in zip(self.weights, dense, strict=True)
        ]
        return [gradient.numpy() for gradient in (*weights, *(leaf.grad for leaf in self.biases))]


def _tensor(proto: onnx.TensorProto, dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(numpy_helper.to_array(proto).copy())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _conv(attributes: dict[str, Any], x: Any, weight: Any, bias: Any = None) -> Any:
    top, left, bottom, right = attributes["pads"]
    padded = F.pad(x, (left, right, top, bottom))
    return F.conv2d(padded, weight, bias, attributes["strides"])


def _gemm(attributes: dict[str, Any], x: Any, weight: Any, bias: Any) -> Any:
    assert attributes["transB"] == 1
    return F.linear(x, weight, bias)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _conv,
    "Flatten": lambda _, x: x.flatten(1),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda _, x: x,
    "MatMul": lambda _, a, b: a @ b,
    "MaxPool": lambda attributes, x: F.max_pool2d(
        x, attributes["kernel_shape"], attributes["strides"]
    ),
    "ReduceMean": lambda attributes, x, axes: x.mean(
        axes.tolist(), keepdim=bool(attributes["keepdims"])
    ),
    "Relu": lambda _, x: x.relu(),
    "Reshape": lambda _, x, shape: x.reshape(len(x), *shape[1:].tolist()),
}
