"""Operators that the importer spells out get their names back."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from onnx import helper
from tvm.relax.frontend.onnx import from_onnx
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.relay_passes.fold_constant import fold_constant
from lcp_tvm.relay_passes.recognise_clip import recognise_clip
from lcp_tvm.relay_passes.recognise_pad import recognise_pad
from lcp_tvm.relay_passes.recognise_pooling import recognise_pooling
from lcp_tvm.relay_passes.recognise_reshape import recognise_reshape
from lcp_tvm.relay_passes.recognise_sum import recognise_sum
from lcp_tvm.relay_passes.remove_identity import remove_identity
from tests.frontend.models import model
from tests.relay_passes.compare import assert_leaves, assert_rewrites


def calls(module: tvm.IRModule) -> list[str]:
    """Return the calls in ``main`` as operator and scalar operands, e.g. "clip 0.0 6.0"."""
    found = []
    for binding in module["main"].body.blocks[0].bindings:
        values = [arg.value for arg in binding.value.args[1:] if hasattr(arg, "value")]
        name = binding.value.op.name.removeprefix("relax.")
        found.append(" ".join([name, *map(str, values)]))
    return found


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 6, ["clip 0.0 6.0"]),
        (-1, 1, ["clip -1.0 1.0"]),
        (0, None, ["nn.relu"]),
        (None, 6, ["minimum 6.0"]),
        (2, 1, ["clip 1.0 1.0"]),  # ONNX: the upper bound wins
    ],
)
@pytest.mark.parametrize("opset", [9, 18])
def test_clip(low: float | None, high: float | None, expected: list[str], opset: int) -> None:
    given = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    if opset < 11:
        constants = {}
        node = helper.make_node("Clip", ["x"], ["y"], **{k: float(v) for k, v in given.items()})
    else:
        names = [name if name in given else "" for name in ("min", "max")]
        node = helper.make_node("Clip", ["x", *names], ["y"])
        constants = {name: np.float32(value) for name, value in given.items()}
    imported = fold_constant(from_onnx(model([node], constants, opset=opset)))
    assert calls(recognise_clip(imported)) == expected


def test_relu_then_minimum_is_a_clip() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                relu = R.nn.relu(x)
                y = R.minimum(relu, R.const(6.0, "float32"))
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.clip(x, 0.0, 6.0)
                R.output(y)
            return y

    assert_rewrites(recognise_clip, Before, Expected)


def test_the_maximum_of_two_tensors_stays() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                e = R.exp(x)
                y = R.maximum(x, e)
                R.output(y)
            return y

    assert_leaves(recognise_clip, Module)


def test_pad() -> None:
    constants = {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 3]), "value": np.float32(-1.5)}
    node = helper.make_node("Pad", ["x", "pads", "value"], ["y"])
    after = recognise_pad(from_onnx(model([node], constants)))
    (binding,) = after["main"].body.blocks[0].bindings
    assert binding.value.op.name == "relax.nn.pad"
    assert list(binding.value.attrs.pad_width) == [0, 0, 0, 0, 1, 0, 2, 3]
    assert binding.value.attrs.pad_value == -1.5


def test_reflecting_pad_stays_a_loop() -> None:
    node = helper.make_node("Pad", ["x", "pads"], ["y"], mode="reflect")
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    assert calls(recognise_pad(from_onnx(model([node], constants)))) == ["call_tir"]


def test_sum_of_three() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                a = R.exp(x)
                b = R.nn.relu(x)
                stack = R.stack((x, a, b), axis=0)
                y = R.sum(stack, axis=[0])
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                a = R.exp(x)
                b = R.nn.relu(x)
                first = R.add(x, a)
                y = R.add(first, b)
                R.output(y)
            return y

    assert_rewrites(recognise_sum, Before, Expected)


def test_mean_over_the_picture_keeps_its_dimensions() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.mean(x, axis=[-1, -2], keepdims=False)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                mean = R.mean(x, axis=[2, 3], keepdims=True)
                y = R.reshape(mean, [1, 3])
                R.output(y)
            return y

    assert_rewrites(recognise_pooling, Before, Expected)


def test_average_pool_of_the_whole_picture_is_a_mean() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.nn.avg_pool2d(x, [8, 8])
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.mean(x, axis=[2, 3], keepdims=True)
                R.output(y)
            return y

    assert_rewrites(recognise_pooling, Before, Expected)


def test_average_pool_of_a_part_stays() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.nn.avg_pool2d(x, [2, 2], strides=2)
                R.output(y)
            return y

    assert_leaves(recognise_pooling, Module)


def test_rounding_up_in_a_max_pool_becomes_padding() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.nn.max_pool2d(x, [3, 3], strides=2, ceil_mode=True)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.nn.max_pool2d(x, [3, 3], strides=2, padding=[0, 0, 1, 1])
                R.output(y)
            return y

    assert_rewrites(recognise_pooling, Before, Expected)


def test_squeeze_and_expand_are_one_reshape() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                a = R.squeeze(x, [0])
                b = R.reshape(a, [3, 64])
                y = R.expand_dims(b, [0])
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.reshape(x, [1, 3, 64])
                R.output(y)
            return y

    assert_rewrites(recognise_reshape, Before, Expected)


def test_identities_go() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                drop = R.nn.dropout(x, rate=0.5)
                a = drop[0]
                b = R.reshape(a, [1, 3, 8, 8])
                c = R.permute_dims(b, [0, 1, 2, 3])
                d = R.concat((c,), axis=1)
                e = R.nn.pad(d, [0, 0, 0, 0, 0, 0, 0, 0])
                f = R.astype(e, "float32")
                g = R.nn.max_pool2d(f, [1, 1])
                y = R.exp(g)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                y = R.exp(x)
                R.output(y)
            return y

    assert_rewrites(remove_identity, Before, Expected)


def test_what_only_looks_like_an_identity_stays() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 8, 8), "float32")):
            with R.dataflow():
                a = R.permute_dims(x, [0, 1, 3, 2])
                y = R.nn.max_pool2d(a, [1, 1], strides=2)
                R.output(y)
            return y

    assert_leaves(remove_identity, Module)
