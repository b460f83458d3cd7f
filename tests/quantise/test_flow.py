"""From a float network to integers: numbers, messages, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.quantise import check_qdq, is_qdq, quantise
from lcp_tvm.quantise.bias_correction import correct_bias
from lcp_tvm.quantise.calibrate import BATCH_BYTES, Evaluator, batched
from lcp_tvm.quantise.graph import Layer
from lcp_tvm.quantise.noise import decibels
from lcp_tvm.quantise.threshold import dequantise_array, quantise_array
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from tests.quantise.float_builder import Floats, network, pictures, small_residual
from tests.reference import evaluate
from tests.relay_passes.qdq_builder import Qdq, operators


def test_int8_follows_the_float_network() -> None:
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    check_qdq(quantised.module)
    found = [(row.name, row.op) for row in quantised.table]
    assert found == [
        ("x", "input"),
        ("stem", "conv2d"),
        ("deep", "depthwise"),
        ("narrow", "conv2d"),
        ("wide", "conv2d"),
        ("pooled", "mean"),
        ("dense", "dense"),
    ]
    assert all(row.snr_db > 20 for row in quantised.table)


@pytest.mark.parametrize("op", [R.nn.relu, lambda x: R.clip(x, 0, 1)])
def test_an_activation_may_come_first(op: Any) -> None:
    float_network = network(
        Floats(1, 3, 8, 8).build(lambda f: f.conv(f.emit(op(f.x), "first"), 4, 3, "conv"))
    )
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    x = pictures(1, 3, 8, 8, seed=2)
    (expected,) = evaluate(float_network.module, x)
    (found,) = evaluate(lower_qdq(quantised.module), x)
    assert np.mean((found - expected) ** 2) < 0.01 * np.mean(expected**2)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_sum_and_its_activation_apart_from_convolutions(pooled: bool) -> None:
    def body(f: Floats) -> Any:
        left, right = (f.relu(f.conv(f.x, 4, 3, name)) for name in ("left", "right"))
        if pooled:
            left, right = (f.emit(R.nn.max_pool2d(x, (2, 2), (2, 2))) for x in (left, right))
        return f.relu(f.emit(R.add(left, right)))

    float_network = network(Floats(1, 3, 8, 8).build(body))
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    x = pictures(1, 3, 8, 8, seed=2)
    (expected,) = evaluate(float_network.module, x)
    (found,) = evaluate(lower_qdq(quantised.module), x)
    assert np.mean((found - expected) ** 2) < 0.01 * np.mean(expected**2)


def test_all_results_of_a_network_follow_it() -> None:
    """A detector's two maps, one computed from the other."""

    def body(f: Floats) -> Any:
        stem = f.conv(f.x, 8, 3, "stem")
        return f.emit(relax.Tuple([stem, f.conv(f.relu(stem), 4, 3, "boxes")]))

    float_network = network(Floats(1, 3, 8, 8).build(body))
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    x = pictures(1, 3, 8, 8, seed=2)
    expected = evaluate(float_network.module, x)
    for found, wanted in zip(evaluate(lower_qdq(quantised.module), x), expected, strict=True):
        assert np.mean((found - wanted) ** 2) < 0.01 * np.mean(wanted**2)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_are_layers(groups: int) -> None:
    """Equalised, corrected and quantised like any other; their weights keep their layout."""

    def body(f: Floats) -> Any:
        wide = f.relu(f.conv(f.x, 8, 3, "narrow", spread=1.0))
        weight = relax.const(f.normal(8, 6 // groups, 4, 4, spread=1.0))
        up = R.nn.conv2d_transpose(wide, weight, strides=(2, 2), padding=(1, 1), groups=groups)
        return f.conv(f.relu(f.emit(up, "up")), 4, 1, "last")

    float_network = network(Floats(1, 3, 8, 8).build(body))
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    check_qdq(quantised.module)
    assert ("up", "conv2d_transpose") in [(row.name, row.op) for row in quantised.table]
    assert all(row.snr_db > 20 for row in quantised.table)
    integer = operators(lower_qdq(quantised.module))
    assert integer[integer.index("nn.conv2d_transpose") :][:4] == [
        "nn.conv2d_transpose", "add", "right_shift", "clip",
    ]  # fmt: skip


def test_one_scale_for_what_is_concatenated_costs_less_than_half_a_decibel() -> None:
    """Against the same function, whose two parts have scales of their own."""

    def parts(f: Floats) -> list[Any]:
        squeezed = f.relu(f.conv(f.x, 8, 1, "squeeze"))
        return [f.relu(f.conv(squeezed, 16, size, f"expand{size}")) for size in (1, 3)]

    def together(f: Floats) -> Any:
        return f.conv(f.emit(R.concat(parts(f), axis=1)), 8, 1, "last")

    def apart(f: Floats) -> Any:
        left, right = parts(f)
        weight = f.normal(8, 32, 1, 1)
        bias = relax.const(f.normal(8).reshape(1, -1, 1, 1))
        first = f.emit(R.nn.conv2d(left, relax.const(weight[:, :16])))
        second = f.emit(R.nn.conv2d(right, relax.const(weight[:, 16:])))
        return f.emit(R.add(f.emit(R.add(second, bias)), first))

    noise = []
    for body in (together, apart):
        float_network = network(Floats(1, 3, 16, 16).build(body))
        noise.append(quantise(float_network, pictures(8, 3, 16, 16)).table[-1].snr_db)
    assert noise[0] > noise[1] - 0.5


def test_integers_equal_the_qdq_module_up_to_ties() -> None:
    """Rounding half up against half to even: the last layer may differ by a step of int8."""
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    quantised = quantise(float_network, pictures(8, 3, 8, 8))
    integer = lower_qdq(quantised.module)
    assert "nn.conv2d" in operators(integer)
    assert all(
        str(binding.value.ty.dtype) == "int32"
        for block in integer["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, tvm.ir.Call) and binding.value.op.name == "relax.nn.conv2d"
    )
    step = 2.0 ** -quantised.table[-1].output_bits
    for picture in pictures(4, 3, 8, 8, seed=5):
        expected = Evaluator(quantised.module, ["result"])(picture)["result"]
        ratio = np.log(evaluate(integer, picture[None])) - np.log(expected)
        assert np.ptp(ratio) <= 2 * step  # softmax: logits up to a constant


def test_without_pictures_the_scales_are_random_and_the_message_says_so() -> None:
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    first, second = quantise(float_network, None), quantise(float_network, None)
    assert first.table == second.table
    assert len(first.messages) == 1
    assert "--calibrate" in first.messages[0]


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (3, 8, 8), (0, 3, 8, 8)])
def test_refuses_pictures_of_another_shape(shape: tuple[int, ...]) -> None:
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    with pytest.raises(InputError, match="calibration data has shape"):
        quantise(float_network, np.zeros(shape, np.float32))


def test_refuses_pictures_that_are_not_finite() -> None:
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    with pytest.raises(InputError, match="not finite"):
        quantise(float_network, np.full((1, 3, 8, 8), np.nan, np.float32))


def test_refuses_a_network_without_layers() -> None:
    with pytest.raises(ModelError, match="nothing to quantise"):
        quantise(network(Floats(1, 3, 8, 8).build(lambda f: f.relu(f.x))), None)


def test_progress_goes_from_step_to_step() -> None:
    steps: list[tuple[str, float]] = []
    float_network = network(Floats(1, 3, 8, 8).build(small_residual))
    calibration = pictures(2, 3, 8, 8)
    quantise(float_network, calibration, progress=lambda step, done: steps.append((step, done)))
    assert list(dict.fromkeys(step for step, _ in steps)) == [
        "calibrate",
        "measure",
        "equalise",
        "calibrate equalised",
        "measure equalised",
    ]
    assert [done for step, done in steps if step == "calibrate"] == [0.5, 1.0]


def test_bias_correction_cancels_the_mean_error() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(6, 2, 3, 3)).astype(np.float32)
    layer = Layer("c", "conv2d", "x", weight, np.zeros(6, np.float32), "b", 3, None, "b")
    mean = random.normal(size=6)
    shift = correct_bias(layer, 2, mean).bias
    error = dequantise_array(quantise_array(weight, 2), 2) - weight
    for output in range(6):
        group = output // 2
        expected = -(error[output].sum(axis=(1, 2)) * mean[2 * group : 2 * group + 2]).sum()
        np.testing.assert_allclose(shift[output], expected, rtol=1e-5)


def test_tensors_are_held_in_bounded_batches() -> None:
    size = BATCH_BYTES // 8
    assert list(batched({"a": size, "b": size, "c": 1})) == [["a", "b"], ["c"]]
    assert list(batched({"huge": BATCH_BYTES, "b": 1})) == [["huge"], ["b"]]


def test_decibels() -> None:
    assert decibels(100.0, 1.0) == 20.0
    assert decibels(1.0, 0.0) == math.inf
    assert decibels(0.0, 1.0) == -math.inf


def test_accepts_powers_of_two_from_other_tools() -> None:
    module = Qdq(1, 1, 2, 2).build(lambda q: q.quantise(q.x, 3))
    assert is_qdq(module)
    check_qdq(module)


@pytest.mark.parametrize(
    ("scale", "zero", "dtype", "message"),
    [
        (0.3, 0, "int8", "tensor layer: scale 0.3.* nearest is 0.25"),
        (0.25, 5, "int8", "tensor layer: zero point 5"),
        (0.25, 0, "uint8", "tensor layer: quantised to uint8"),
        ([0.25, 0.5], [0, 0], "int8", "tensor layer: its scales differ between channels"),
        (0.0, 0, "int8", "tensor layer: scale 0 "),
    ],
)
def test_refuses_other_scales_by_name(scale: Any, zero: Any, dtype: str, message: str) -> None:
    def body(q: Qdq) -> Any:
        scales = relax.const(np.asarray(scale, np.float32))
        zeros = relax.const(np.asarray(zero, dtype))
        x = q.emit(R.nn.relu(q.x), "layer")
        return q.emit(R.quantize(x, scales, zeros, axis=1, out_dtype=dtype))

    with pytest.raises(ModelError, match=message):
        check_qdq(Qdq(1, 2, 2, 2).build(body))


def test_accepts_equal_scales_per_channel() -> None:
    def body(q: Qdq) -> Any:
        scales = relax.const(np.asarray([0.5, 0.5], np.float32))
        zeros = relax.const(np.zeros(2, np.int8))
        return q.emit(R.quantize(q.x, scales, zeros, axis=1, out_dtype="int8"))

    check_qdq(Qdq(1, 2, 2, 2).build(body))
