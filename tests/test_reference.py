"""The numpy reference agrees with TVM on integers and with onnxruntime on floats."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tvm
from onnx import TensorProto, helper, numpy_helper, shape_inference
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from tests.reference import evaluate, evaluate_all

Build = Callable[[relax.BlockBuilder, Any], Any]


def module_of(build: Build, shape: tuple[int, ...], dtype: str) -> tvm.IRModule:
    """Module whose main(x) is what `build` emits."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(build(builder, x))
        builder.emit_func_output(output)
    return builder.get()


def run_tvm(module: tvm.IRModule, x: Any) -> Any:
    executable = tvm.compile(module, target=tvm.target.Target({"kind": "llvm"}))
    machine = relax.VirtualMachine(executable, tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x)).numpy()


def draw(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(0, 3, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def residual_block(builder: relax.BlockBuilder, x: Any) -> Any:
    """Convolution, bias, residual add, shift, ReLU, as integer Relax has them."""
    weight = relax.const(draw(1, (6, 6, 3, 3), "int8"))
    bias = relax.const(draw(2, (1, 6, 1, 1), "int8").astype("int32") * 1000)
    acc = relax.op.nn.conv2d(x, weight, padding=(1, 0, 1, 2), out_dtype="int32")
    skip = relax.op.strided_slice(relax.op.astype(x, "int32"), [3], [0], [7])
    wide = relax.op.left_shift(skip, relax.const(5, "int32"))
    total = relax.op.add(relax.op.add(acc, bias), wide)
    small = relax.op.clip(relax.op.right_shift(total, relax.const(9, "int32")), 0, 127)
    return relax.op.astype(small, "int8")


def dense(builder: relax.BlockBuilder, x: Any) -> Any:
    weight = relax.const(draw(3, (6 * 7 * 7, 10), "int8"))
    flat = relax.op.reshape(x, (1, 6 * 7 * 7))
    acc = relax.op.add(
        relax.op.matmul(flat, weight, out_dtype="int32"), relax.const(np.full(10, 64, "int32"))
    )
    shifted = relax.op.right_shift(acc, relax.const(7, "int32"))
    return relax.op.astype(relax.op.clip(shifted, -128, 127), "int8")


def pools(builder: relax.BlockBuilder, x: Any) -> Any:
    most = relax.op.nn.max_pool2d(x, (3, 2), (2, 2), (1, 0, 1, 1), ceil_mode=True)
    total = relax.op.sum(relax.op.astype(most, "int32"), [2, 3], keepdims=True)
    scaled = relax.op.multiply(total, relax.const(93, "int32"))
    return relax.op.concat([scaled, relax.op.negative(scaled)], axis=1)


def wrapping(builder: relax.BlockBuilder, x: Any) -> Any:
    """Sums and products beyond 32 bits, and a cast beyond 8."""
    big = relax.op.multiply(relax.op.astype(x, "int32"), relax.const(123_456_789, "int32"))
    return relax.op.astype(relax.op.add(big, big), "int8")


@pytest.mark.parametrize("build", [residual_block, dense, pools, wrapping])
def test_integers_agree_with_tvm(build: Build) -> None:
    module = module_of(build, (1, 6, 7, 7), "int8")
    x = draw(0, (1, 6, 7, 7), "int8")
    np.testing.assert_array_equal(evaluate(module, x), run_tvm(module, x))


def test_entry_and_exit_agree_with_tvm() -> None:
    """Halves round to even, and what is out of range is clipped before the cast."""

    def build(builder: relax.BlockBuilder, x: Any) -> Any:
        steps = relax.op.round(relax.op.multiply(x, relax.const(16.0, "float32")))
        whole = relax.op.astype(relax.op.clip(steps, -128, 127), "int8")
        return relax.op.multiply(relax.op.astype(whole, "float32"), relax.const(2.0**-4, "float32"))

    x = np.concatenate([np.arange(-300, 300) / 32, [1e9, -1e9]]).astype(np.float32)[None]
    module = module_of(build, x.shape, "float32")
    result = evaluate(module, x)
    np.testing.assert_array_equal(result, run_tvm(module, x))
    assert result[0, 300:306].tolist() == [0, 0, 2 / 32, 4 / 32, 4 / 32, 4 / 32]


CONVOLUTIONS = [
    {"strides": [1, 1], "pads": [0, 0, 0, 0]},
    {"strides": [2, 3], "pads": [1, 0, 2, 3]},
    {"strides": [1, 2], "pads": [2, 2, 2, 2], "dilations": [2, 2]},
    {"strides": [1, 1], "pads": [1, 1, 1, 1], "group": 2},
    {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 4},
]


def one_node(
    op: str, weights: list[Any], x_shape: tuple[int, ...], **attributes: Any
) -> tuple[tvm.IRModule, Any, Any]:
    """Module of one ONNX node, a drawn input and onnxruntime's result."""
    names = [f"w{number}" for number in range(len(weights))]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, n) for n, w in zip(names, weights, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = shape_inference.infer_shapes(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = draw(4, x_shape, "float32")
    expected = session.run(None, {"x": x})[0]
    return from_onnx(model, keep_params_in_input=False), x, expected


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
def test_convolutions_agree_with_onnxruntime(attributes: dict[str, Any]) -> None:
    weight = draw(5, (8, 4 // attributes.get("group", 1), 3, 2), "float32")
    module, x, expected = one_node("Conv", [weight], (1, 4, 9, 11), **attributes)
    np.testing.assert_allclose(evaluate(module, x), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [1, 1]},
        {"strides": [2, 3], "pads": [1, 0, 2, 1]},
        {"strides": [3, 2], "pads": [0, 1, 1, 0], "output_padding": [2, 1], "group": 2},
        {"strides": [2, 1], "dilations": [2, 3], "group": 4},
    ],
)
def test_transposed_convolutions_agree_with_onnxruntime(attributes: dict[str, Any]) -> None:
    weight = draw(5, (4, 3, 3, 2), "float32")
    module, x, expected = one_node("ConvTranspose", [weight], (1, 4, 5, 6), **attributes)
    np.testing.assert_allclose(evaluate(module, x), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 0]}),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}),
        (
            "AveragePool",
            {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], "count_include_pad": 1},
        ),
        ("GlobalAveragePool", {}),
        ("Softmax", {"axis": 1}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Exp", {}),
        ("LeakyRelu", {"alpha": 0.1}),
        ("Transpose", {"perm": [0, 2, 3, 1]}),
        ("Flatten", {}),
        ("LRN", {"size": 5}),
    ],
)
def test_operators_agree_with_onnxruntime(op: str, attributes: dict[str, Any]) -> None:
    module, x, expected = one_node(op, [], (1, 6, 7, 9), **attributes)
    np.testing.assert_allclose(evaluate(module, x), expected, rtol=1e-5, atol=1e-6)


def test_batch_norm_agrees_with_onnxruntime() -> None:
    scale, bias, mean = (draw(seed, (6,), "float32") for seed in (6, 7, 8))
    variance = np.abs(draw(9, (6,), "float32")) + 1
    module, x, expected = one_node(
        "BatchNormalization", [scale, bias, mean, variance], (1, 6, 7, 9)
    )
    np.testing.assert_allclose(evaluate(module, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("channels", "kernel"), [(16, 1), (256, 3), (2048, 7)])
def test_sums_are_exact_at_every_size(channels: int, kernel: int) -> None:
    """All products are 128 * 127, so the sum is known; the largest is beyond 2^30."""
    shape = (1, channels, kernel, kernel)
    weight = relax.const(np.full((2, channels, kernel, kernel), 127, "int8"))
    module = module_of(
        lambda builder, x: relax.op.nn.conv2d(x, weight, out_dtype="int32"), shape, "int8"
    )
    x = np.full(shape, -128, np.int8)
    expected = -128 * 127 * channels * kernel * kernel
    assert evaluate(module, x).ravel().tolist() == [expected, expected]


def test_calls_of_other_functions_are_evaluated() -> None:
    builder = relax.BlockBuilder()
    y = relax.Var("y", relax.TensorType((3,), "int32"))
    with builder.function("double", [y]):
        double = builder.emit_func_output(builder.emit(relax.op.add(y, y), "twice"))
    x = relax.Var("x", relax.TensorType((3,), "int32"))
    with builder.function("main", [x]):
        first = builder.emit(relax.Call(double, [x]), "first")
        one = relax.const(1, "int32")
        builder.emit_func_output(builder.emit(relax.op.add(first, one), "out"))
    values = evaluate_all(builder.get(), np.array([1, 2, 3], np.int32))
    assert values["first"].tolist() == [2, 4, 6]
    assert values["double.twice"].tolist() == [2, 4, 6]
    assert values["out"].tolist() == [3, 5, 7]


def test_an_unknown_operator_is_named() -> None:
    module = module_of(lambda builder, x: relax.op.erf(x), (2, 2), "float32")
    with pytest.raises(NotImplementedError, match=r"gv: reference has no operator relax\.erf"):
        evaluate(module, np.zeros((2, 2), np.float32))


def test_an_input_of_another_type_is_refused() -> None:
    module = module_of(lambda builder, x: relax.op.abs(x), (2, 2), "float32")
    with pytest.raises(ValueError, match=r"float64\(2, 2\) where float32\(2, 2\) is declared"):
        evaluate(module, np.zeros((2, 2)))


def test_a_shift_that_hardware_leaves_undefined_is_refused() -> None:
    shift = relax.const(32, "int32")
    module = module_of(lambda builder, x: relax.op.right_shift(x, shift), (2,), "int32")
    with pytest.raises(ValueError, match=r"shift of int32 by 32, allowed is 0\.\.31"):
        evaluate(module, np.zeros(2, np.int32))
