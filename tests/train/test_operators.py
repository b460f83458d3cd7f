"""Operators in torch compute what onnxruntime computes, for any number of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op

from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.export_ops import CONVERTERS, TUPLE_CONVERTERS
from tests.frontend.models import random_input
from tests.train.float_modules import SHAPE, module_of, one_by_one

torch = pytest.importorskip("torch")

from lcp_tvm.train.torch_network import to_torch  # noqa: E402  (it imports torch)

RANDOM = np.random.default_rng(4)
W = RANDOM.standard_normal((6, 2, 3, 3), np.float32)
PER_CHANNEL = np.array([0.5, 0.25, 0.125, 1], np.float32)
PICTURES = 3


def const(values: Any, dtype: str = "float32") -> Any:
    return relax.const(np.asarray(values, dtype))


def resized(rows: int, columns: int, mode: str, rounding: str | None = None) -> Any:
    method = {"method": "linear"} if rounding is None else {
        "method": "nearest_neighbor", "rounding_method": rounding
    }  # fmt: skip
    return lambda x: op.image.resize2d(
        x, relax.ShapeExpr([rows, columns]), coordinate_transformation_mode=mode, **method
    )


SMOOTH: dict[str, Callable[[Any], Any]] = {
    "abs": op.abs,
    "adaptive_avg_pool2d": lambda x: op.nn.adaptive_avg_pool2d(x, (1, 1)),
    "add": lambda x: op.add(x, const(PER_CHANNEL.reshape(4, 1, 1))),
    "avg_pool2d": lambda x: op.nn.avg_pool2d(x, (3, 2), (2, 1), (1, 0, 1, 0)),
    "avg_pool2d, uneven pads": lambda x: op.nn.avg_pool2d(x, (3, 2), (2, 1), (1, 0, 0, 1)),
    "avg_pool2d, counting pads": lambda x: op.nn.avg_pool2d(
        x, (3, 3), (2, 2), 1, count_include_pad=True
    ),
    "avg_pool2d, counting uneven pads": lambda x: op.nn.avg_pool2d(
        x, (3, 3), (2, 2), (0, 1, 1, 1), count_include_pad=True
    ),
    "avg_pool2d, ceil": lambda x: op.nn.avg_pool2d(x, (3, 3), (2, 2), ceil_mode=True),
    "batch_norm": lambda x: op.nn.batch_norm(
        x, *(const(PER_CHANNEL + shift) for shift in range(4)), axis=1, training=False
    )[0],
    "broadcast_to": lambda x: op.broadcast_to(op.mean(x, [2, 3], keepdims=True), SHAPE),
    "clip": lambda x: op.clip(x, -0.5, 1.5),
    "concat": lambda x: op.concat([x, op.exp(x)], axis=1),
    "concat, last axis": lambda x: op.concat([x, op.exp(x), x], axis=-1),
    "constants alone": lambda x: op.add(x, op.exp(const(PER_CHANNEL.reshape(4, 1, 1)))),
    "conv2d": lambda x: op.nn.conv2d(x, const(W), padding=1, groups=2),
    "conv2d, uneven pads": lambda x: op.nn.conv2d(
        x, const(W), strides=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2
    ),
    "conv2d, depthwise": lambda x: op.nn.conv2d(x, const(W[:4, :1]), padding=1, groups=4),
    "conv2d, depthwise twice": lambda x: op.nn.conv2d(
        x, const(W.reshape(12, 1, 3, 3)[:8]), strides=2, padding=1, groups=4
    ),
    "conv2d, weights computed": lambda x: op.nn.conv2d(x, op.exp(const(W)), groups=2),
    "conv2d_transpose": lambda x: op.nn.conv2d_transpose(
        x, const(W[:4]), strides=(2, 2), padding=1, output_padding=(1, 1)
    ),
    "conv2d_transpose, uneven pads": lambda x: op.nn.conv2d_transpose(
        x, const(W[:4]), strides=(2, 3), padding=(1, 0, 2, 1), output_padding=(1, 2), groups=2
    ),
    "divide": lambda x: op.divide(x, const(3)),
    "dropout": lambda x: op.nn.dropout(x)[0],
    "erf": op.erf,
    "exp": op.exp,
    "expand_dims": lambda x: op.expand_dims(x, [2]),
    "flatten": lambda x: op.reshape(x, (1, -1)),
    "leakyrelu": lambda x: op.nn.leakyrelu(x, 0.1),
    "log": lambda x: op.log(op.exp(x)),
    "log_softmax": lambda x: op.nn.log_softmax(x, axis=1),
    "matmul": lambda x: op.matmul(x, const(W.reshape(6, -1))),
    "matmul, both computed": lambda x: op.matmul(x, op.exp(x)),
    "max": lambda x: op.max(x, axis=[1]),
    "max_pool2d": lambda x: op.nn.max_pool2d(x, (3, 2), (2, 1), (1, 0, 1, 0)),
    "max_pool2d, uneven pads": lambda x: op.nn.max_pool2d(x, (3, 2), (2, 1), (1, 0, 0, 1)),
    "max_pool2d, wide pads": lambda x: op.nn.max_pool2d(x, (3, 3), (1, 1), (2, 2, 2, 2)),
    "max_pool2d, ceil": lambda x: op.nn.max_pool2d(
        op.subtract(x, const(9)), (3, 3), (2, 2), ceil_mode=True
    ),
    "max_pool2d, dilated": lambda x: op.nn.max_pool2d(x, (2, 2), dilation=(2, 2)),
    "maximum": lambda x: op.maximum(x, const(0.25)),
    "mean": lambda x: op.mean(x, axis=[2, 3], keepdims=True),
    "mean, negative axes": lambda x: op.mean(x, axis=[-1, -2]),
    "min": lambda x: op.min(x, axis=[3], keepdims=True),
    "minimum": lambda x: op.minimum(x, const(0.25)),
    "multiply": lambda x: op.multiply(x, x),
    "negative": op.negative,
    "pad": lambda x: op.nn.pad(x, [0, 0, 0, 1, 2, 0, 1, 3], pad_value=-1.5),
    "permute_dims": lambda x: op.permute_dims(x, [0, 2, 3, 1]),
    "power": lambda x: op.power(op.exp(x), const(0.75)),
    "prelu": lambda x: op.nn.prelu(x, const(PER_CHANNEL), axis=1),
    "prelu, last axis": lambda x: op.nn.prelu(x, const([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), axis=3),
    "relu": op.nn.relu,
    "reshape, channel shuffle": lambda x: op.reshape(
        op.permute_dims(op.reshape(x, (1, 2, 2, 6, 6)), [0, 2, 1, 3, 4]), SHAPE
    ),
    "resize2d, nearest": resized(12, 12, "asymmetric", "floor"),
    "resize2d, nearest centres": resized(9, 4, "half_pixel", "round_prefer_ceil"),
    "resize2d, linear": resized(9, 12, "half_pixel"),
    "resize2d, linear corners": resized(11, 3, "align_corners"),
    "rsqrt": lambda x: op.rsqrt(op.exp(x)),
    "sigmoid": op.sigmoid,
    "silu": op.nn.silu,
    "softmax": lambda x: op.nn.softmax(x, axis=-1),
    "softplus": op.nn.softplus,
    "split": lambda x: op.split(x, [1, 3], axis=1)[1],
    "sqrt": lambda x: op.sqrt(op.exp(x)),
    "square": op.square,
    "squeeze": lambda x: op.squeeze(op.mean(x, [2, 3], keepdims=True), [2, 3]),
    "stack": lambda x: op.stack([x, op.exp(x)], axis=1),
    "strided_slice": lambda x: op.strided_slice(x, [1, 3], [1, 0], [4, 6], [2, 3]),
    "subtract": lambda x: op.subtract(const(1), x),
    "sum": lambda x: op.sum(x, axis=[1, 2]),
    "tanh": op.tanh,
    "where": lambda x: op.where(const(np.eye(6), "bool"), x, const(0)),
}
STEPS: dict[str, Callable[[Any], Any]] = {  # their derivative is 0, or a straight-through estimate
    "astype": lambda x: op.astype(op.astype(x, "int8"), "float32"),
    "ceil": op.ceil,
    "floor": op.floor,
    "quantize": lambda x: op.dequantize(
        op.quantize(x, const(0.25), const(0, "int8"), out_dtype="int8"),
        const(0.25), const(0, "int8"),
    ),
    "quantize, and move": lambda x: op.dequantize(
        op.nn.max_pool2d(op.quantize(x, const(0.25), const(0, "int8"), out_dtype="int8"), (2, 2)),
        const(0.25), const(0, "int8"),
    ),
    "round": lambda x: op.round(op.multiply(x, const(2))),
}  # fmt: skip
CUBES: dict[str, Callable[[Any], Any]] = {
    "avg_pool3d": lambda x: op.nn.avg_pool3d(x, (3, 1, 2), padding=(1, 0, 1, 1, 0, 0)),
}
CASES = SMOOTH | STEPS


def check(module: tvm.IRModule, shape: tuple[int, ...]) -> None:
    pictures = random_input((PICTURES, *shape[1:]))
    found = to_torch(module)(torch.from_numpy(pictures)).detach().numpy()
    expected = one_by_one(module, pictures)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_batches_are_computed_as_onnxruntime_computes_single_pictures(name: str) -> None:
    check(module_of(CASES[name]), SHAPE)


@pytest.mark.parametrize("name", CUBES)
def test_operators_of_three_dimensions(name: str) -> None:
    check(module_of(CUBES[name], (1, 2, 3, 4, 5)), (1, 2, 3, 4, 5))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_slopes_between_near_points(name: str) -> None:
    """In float64, to the input and every parameter, along random directions."""
    network = to_torch(module_of(SMOOTH[name])).double()
    x = torch.from_numpy(random_input((2, *SHAPE[1:]))).double().requires_grad_()
    parameters = tuple(network.parameters())

    def function(x: Any, *_parameters: Any) -> Any:
        return network(x)

    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)


def test_every_operator_that_can_be_exported_can_be_trained() -> None:
    modules = [module_of(make) for make in CASES.values()]
    modules += [module_of(make, (1, 2, 3, 4, 5)) for make in CUBES.values()]
    tried = {
        binding.value.op.name
        for module in modules
        for block in module["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call)
    }
    assert {*CONVERTERS, *TUPLE_CONVERTERS} - tried == {"relax.flatten"}  # it has no batch left


MIXES: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: op.add(op.reshape(x, (1, 144)), const(np.ones((1, 2, 1)))),
    "broadcast_to": lambda x: op.broadcast_to(x, (3, 4, 6, 6)),
    "concat": lambda x: op.concat([x, x], axis=0),
    "flatten": op.flatten,
    "log_softmax": lambda x: op.nn.log_softmax(x, axis=0),
    "matmul": lambda x: op.matmul(const(np.ones((5, 1, 6, 6))), x),
    "mean": op.mean,
    "pad": lambda x: op.nn.pad(x, [1, 0, 0, 0, 0, 0, 0, 0]),
    "permute_dims": op.permute_dims,
    "prelu": lambda x: op.nn.prelu(x, const([0.1]), axis=0),
    "reshape": lambda x: op.reshape(x, (2, 72)),
    "softmax": lambda x: op.nn.softmax(x, axis=-4),
    "squeeze": lambda x: op.squeeze(x, [0]),
    "stack": lambda x: op.stack([x, x], axis=0),
    "strided_slice": lambda x: op.strided_slice(x, [0], [0], [1]),
    "sum": lambda x: op.sum(x, axis=[0, 1], keepdims=True),
}


@pytest.mark.parametrize("name", MIXES)
def test_operators_that_mix_pictures_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=rf" (nn\.)?{name}: .*batch"):
        to_torch(module_of(MIXES[name]))


REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no torch form": (
        lambda x: op.cumsum(x, axis=1), " cumsum: this operator has no torch form"
    ),
    "layout": (
        lambda x: op.nn.conv2d(
            x, const(np.ones((3, 3, 6, 2))), data_layout="NHWC", kernel_layout="HWIO"
        ),
        "data_layout is NHWC, only NCHW is supported",
    ),
    "ceil": (
        lambda x: op.nn.avg_pool2d(x, (3, 3), 2, ceil_mode=True, count_include_pad=True),
        "ceil_mode with count_include_pad has no agreed meaning",
    ),
    "dilation": (
        lambda x: op.nn.avg_pool2d(x, (2, 2), dilation=(2, 2)), r"dilation is \[2, 2\], only 1"
    ),
    "pad mode": (
        lambda x: op.nn.pad(x, [0, 0, 0, 0, 1, 1, 1, 1], "reflect"), "pad_mode is reflect"
    ),
    "backwards": (
        lambda x: op.strided_slice(x, [1], [3], [0], [-1]), r"steps are \[-1\], only forward ones"
    ),
    "resize": (resized(3, 3, "tf_half_pixel_for_nn", "floor"), "tf_half_pixel_for_nn"),
    "scale": (
        lambda x: op.quantize(x, const(0.3), const(0, "int8")), "scale 0.3.* is not a power of two"
    ),
    "training": (
        lambda x: op.nn.batch_norm(x, *[const(PER_CHANNEL)] * 4, axis=1, training=True)[0],
        "only inference on axis 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_attributes_without_torch_form_are_refused_by_name(name: str) -> None:
    compute, message = REFUSALS[name]
    with pytest.raises(ModelError, match=message):
        to_torch(module_of(compute))
