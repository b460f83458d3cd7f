"""Relax becomes ONNX that onnxruntime evaluates to what TVM computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import tvm
from tvm import relax
from tvm.relax import op

from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.export import to_onnx
from tests.frontend.models import random_input, run

SHAPE = (1, 4, 6, 6)
RANDOM = np.random.default_rng(4)
W = RANDOM.standard_normal((6, 2, 3, 3), np.float32)
SCALE = np.array([0.5, 0.25, 0.125, 1], np.float32)


def const(values: Any, dtype: str = "float32") -> Any:
    return relax.const(np.asarray(values, dtype))


def module_of(compute: Callable[[Any], Any], shape: tuple[int, ...] = SHAPE) -> tvm.IRModule:
    """Return a module whose ``main`` binds each nested call of ``compute(x)``."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit_output(compute(x), "y")
        builder.emit_func_output(y)
    return builder.get()


CASES: dict[str, Callable[[Any], Any]] = {
    "abs": op.abs,
    "add": lambda x: op.add(x, const(SCALE.reshape(4, 1, 1))),
    "astype": lambda x: op.astype(op.astype(x, "int8"), "float32"),
    "avg_pool2d": lambda x: op.nn.avg_pool2d(x, (3, 2), (2, 1), (1, 0, 1, 1)),
    "avg_pool2d with pads": lambda x: op.nn.avg_pool2d(
        x, (3, 3), (2, 2), 1, count_include_pad=True
    ),
    "avg_pool2d ceil": lambda x: op.nn.avg_pool2d(x, (3, 3), (2, 2), ceil_mode=True),
    "avg_pool2d adaptive": lambda x: op.nn.adaptive_avg_pool2d(x, (1, 1)),
    "broadcast_to": lambda x: op.broadcast_to(x, (3, 4, 6, 6)),
    "ceil": op.ceil,
    "clip": lambda x: op.clip(x, -0.5, 1.5),
    "concat": lambda x: op.concat([x, op.exp(x)], axis=1),
    "conv2d": lambda x: op.nn.conv2d(
        x, const(W), strides=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2
    ),
    "conv2d_transpose": lambda x: op.nn.conv2d_transpose(
        x, const(W[:4]), strides=(2, 3), padding=(1, 0, 2, 1), output_padding=(1, 2), groups=2
    ),
    "divide": lambda x: op.divide(x, const(3)),
    "erf": op.erf,
    "exp": op.exp,
    "expand_dims": lambda x: op.expand_dims(x, [1]),
    "floor": op.floor,
    "leakyrelu": lambda x: op.nn.leakyrelu(x, 0.1),
    "log": lambda x: op.log(op.exp(x)),
    "log_softmax": lambda x: op.nn.log_softmax(x, axis=1),
    "matmul": lambda x: op.matmul(x, const(np.ones((6, 2)))),
    "max": lambda x: op.max(x, axis=[1]),
    "max_pool2d": lambda x: op.nn.max_pool2d(x, (3, 2), (2, 1), (1, 0, 1, 1)),
    "max_pool2d with pads as wide as its window": lambda x: op.nn.max_pool2d(
        x, (2, 2), (4, 4), (1, 1, 2, 2), (2, 2)
    ),
    "max_pool2d ceil": lambda x: op.nn.max_pool2d(x, (3, 3), (2, 2), ceil_mode=True),
    "maximum": lambda x: op.maximum(x, const(0.25)),
    "mean": lambda x: op.mean(x, axis=[2, 3], keepdims=True),
    "mean of all": lambda x: op.mean(x),
    "min": lambda x: op.min(x, axis=[3], keepdims=True),
    "minimum": lambda x: op.minimum(x, const(0.25)),
    "multiply": lambda x: op.multiply(x, x),
    "negative": op.negative,
    "pad": lambda x: op.nn.pad(x, [0, 0, 0, 1, 2, 0, 1, 3], pad_value=-1.5),
    "permute_dims": lambda x: op.permute_dims(x, [0, 2, 3, 1]),
    "permute_dims reversed": op.permute_dims,
    "power": lambda x: op.power(op.exp(x), const(0.75)),
    "prelu": lambda x: op.nn.prelu(x, const(SCALE), axis=1),
    "quantize": lambda x: op.dequantize(
        op.quantize(x, const(SCALE), const([0] * 4, "int8"), axis=1, out_dtype="int8"),
        const(SCALE), const([0] * 4, "int8"), axis=1, out_dtype="float32",
    ),
    "relu": op.nn.relu,
    "reshape": lambda x: op.reshape(x, (1, -1)),
    "resize2d nearest": lambda x: op.image.resize2d(
        x, relax.ShapeExpr([12, 12]), method="nearest_neighbor",
        coordinate_transformation_mode="asymmetric", rounding_method="floor",
    ),
    "resize2d linear": lambda x: op.image.resize2d(x, relax.ShapeExpr([9, 12]), method="linear"),
    "round": lambda x: op.round(op.multiply(x, const(2))),
    "rsqrt": lambda x: op.rsqrt(op.exp(x)),
    "sigmoid": op.sigmoid,
    "silu": op.nn.silu,
    "softmax": lambda x: op.nn.softmax(x, axis=1),
    "sqrt": lambda x: op.sqrt(op.exp(x)),
    "square": op.square,
    "squeeze": lambda x: op.squeeze(x, [0]),
    "stack": lambda x: op.stack([x, x], axis=1),
    "strided_slice": lambda x: op.strided_slice(x, [1, 3], [1, 0], [4, 6], [2, 3]),
    "subtract": lambda x: op.subtract(const(1), x),
    "sum": lambda x: op.sum(x, axis=[1, 2]),
    "tanh": op.tanh,
    "where": lambda x: op.where(const(np.eye(6), "bool"), x, const(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    module = module_of(CASES[name])
    proto = to_onnx(module)
    onnx.checker.check_model(proto, full_check=True)
    x = random_input(SHAPE)
    compiled = relax.VirtualMachine(tvm.compile(module, target="llvm"), tvm.cpu())
    expected = compiled["main"](tvm.runtime.tensor(x)).numpy()
    (found,) = run(proto, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def three() -> tvm.IRModule:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2, 3), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            a = builder.emit(op.exp(x), "a")
            b = builder.emit(op.add(a, const(np.ones(3))), "b")
            y = builder.emit_output(op.nn.relu(b), "y")
        builder.emit_func_output(y)
    return builder.get()


def test_outputs_are_chosen_by_variable_name() -> None:
    proto = to_onnx(three(), outputs=["b", "a"])
    assert [output.name for output in proto.graph.output] == ["b", "a"]
    b, a = run(proto, random_input((2, 3)))
    np.testing.assert_allclose(b, a + 1, rtol=1e-6)
    assert [node.op_type for node in proto.graph.node] == ["Exp", "Add"]  # no Relu: not needed


def test_all_outputs_come_in_order_of_computation() -> None:
    proto = to_onnx(three(), outputs="all")
    names = [output.name for output in proto.graph.output]
    assert [name for name in names if name != "gv"] == ["x", "a", "b", "y"]
    np.testing.assert_array_equal(run(proto, random_input((2, 3)))[0], random_input((2, 3)))


def test_an_output_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="output 'c': main has no such variable; it has x, a, b"):
        to_onnx(three(), outputs=["c"])


def test_an_operator_without_onnx_form() -> None:
    with pytest.raises(ModelError, match=r"y = relax\.cumsum: this operator has no ONNX form"):
        to_onnx(module_of(lambda x: op.cumsum(x, axis=1)))


def test_an_attribute_without_onnx_form() -> None:
    weights = const(np.ones((3, 3, 6, 2)))
    nhwc = module_of(lambda x: op.nn.conv2d(x, weights, data_layout="NHWC", kernel_layout="HWIO"))
    with pytest.raises(ModelError, match="data_layout is NHWC, only NCHW is supported"):
        to_onnx(nhwc)


def test_an_open_shape() -> None:
    rows = tvm.tirx.Var("n", "int64")
    with pytest.raises(ModelError, match="cannot export x: its shape"):
        to_onnx(module_of(op.exp, (rows, 3)))
