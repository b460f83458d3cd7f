"""lower_qdq: integers that equal the QDQ function, in the form that docs/architecture.md gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R
from tvm.script import ir as I
from tvm.script import relax as RS

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.lower_qdq import lower_qdq, nearest_slope, reciprocal
from lcp_tvm.vta.layer import Slope
from tests.reference import evaluate
from tests.relay_passes.qdq_builder import Qdq, operators

ENTRY = ["multiply", "round", "clip", "astype"]
EXIT = ["astype", "multiply"]


def integers(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def half_up(real: np.ndarray[Any, Any], bits: int, low: int = -128, high: int = 127) -> Any:
    """The real numbers after rounding half up to int8 of ``bits`` fraction bits."""
    return np.clip(np.floor(np.ldexp(real, bits) + 0.5), low, high) * 2.0**-bits


def convolve(x: Any, w: Any, stride: int, pad: int, groups: int = 1) -> Any:
    """Convolution in float64, as a sum over the kernel's positions."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    outputs, inputs, kernel, _ = w.shape
    size = (x.shape[2] - kernel) // stride + 1
    y = np.zeros((1, outputs, size, size))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i in range(kernel):
            for j in range(kernel):
                rows = slice(i, i + (size - 1) * stride + 1, stride)
                columns = slice(j, j + (size - 1) * stride + 1, stride)
                window = x[0, first : first + inputs, rows, columns]
                y[0, o] += np.tensordot(w[o, :, i, j], window, axes=1)
    return y


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, int]:
    kernel = draw(st.integers(1, 4))
    return {
        "channels": draw(st.integers(1, 5)),
        "outputs": draw(st.integers(1, 5)),
        "size": draw(st.integers(kernel, 7)),
        "kernel": kernel,
        "stride": draw(st.integers(1, 3)),
        "pad": draw(st.integers(0, 2)),
        "x_bits": draw(st.integers(-2, 9)),
        "w_bits": draw(st.integers(-2, 10)),
        "out_bits": draw(st.integers(-4, 14)),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(["none", "relu", "relu6"]))
def test_convolution_is_exact_for_any_shape_and_scale(c: dict[str, int], activation: str) -> None:
    """Also where the output is finer than the accumulator: the shift goes left."""
    w = integers(c["seed"], c["outputs"], c["channels"], c["kernel"], c["kernel"])
    accumulator = c["x_bits"] + c["w_bits"]
    rng = np.random.default_rng(c["seed"])
    bias = rng.integers(-(2**12), 2**12, (1, c["outputs"], 1, 1)) * 2.0**-accumulator

    def body(q: Qdq) -> Any:
        x = q.quantise(q.x, c["x_bits"])
        weight = q.weight(w, c["w_bits"])
        y = q.emit(R.nn.conv2d(x, weight, strides=c["stride"], padding=c["pad"]))
        y = q.emit(R.add(y, relax.const(bias.astype(np.float32))))
        if activation != "none":
            y = q.emit(R.nn.relu(y) if activation == "relu" else R.clip(y, 0, 6))
        return q.quantise(y, c["out_bits"])

    module = Qdq(1, c["channels"], c["size"], c["size"]).build(body)
    x = integers(c["seed"] + 1, 1, c["channels"], c["size"], c["size"]) * 2.0 ** -c["x_bits"]
    real = convolve(x, w * 2.0 ** -c["w_bits"], c["stride"], c["pad"]) + bias
    low, high = {"none": (-math.inf, math.inf), "relu": (0, math.inf), "relu6": (0, 6)}[activation]
    expected = half_up(np.clip(real, low, high), c["out_bits"])
    np.testing.assert_array_equal(evaluate(lower_qdq(module), x.astype(np.float32)), expected)


def test_transposed_convolution() -> None:
    """Two groups; the bias and an activation go into the accumulator as with any other."""
    w, scale = integers(0, 6, 2, 3, 4), 2.0**-7
    bias = integers(1, 1, 4, 1, 1) / 2**11

    def transposed(x: Any, weight: Any) -> Any:
        return R.nn.conv2d_transpose(
            x, weight, strides=(2, 3), padding=(1, 0, 0, 2), output_padding=(1, 1), groups=2
        )

    def body(q: Qdq) -> Any:
        y = q.emit(transposed(q.quantise(q.x, 4), q.weight(w, 7)))
        y = q.emit(R.nn.relu(q.emit(R.add(y, relax.const(bias.astype(np.float32))))))
        return q.quantise(y, 2)

    def exact(q: Qdq) -> Any:
        return q.emit(transposed(q.x, relax.const((w * scale).astype(np.float32))))

    x = (integers(2, 1, 6, 5, 4) / 16).astype(np.float32)
    real = evaluate(Qdq(1, 6, 5, 4).build(exact), x).astype(np.float64) + bias
    module = lower_qdq(Qdq(1, 6, 5, 4).build(body))
    np.testing.assert_array_equal(evaluate(module, x), half_up(np.maximum(real, 0), 2))
    assert operators(module) == [
        *ENTRY, "nn.conv2d_transpose", "add", "right_shift", "clip", "astype", *EXIT,
    ]  # fmt: skip


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.125, 0.2, 0.9])
def test_leaky_relu_is_within_a_step_of_the_slope_it_stands_for(alpha: float) -> None:
    """Outputs down to -128 steps differ by less than one, beside the rounding."""
    w = integers(0, 4, 4, 1, 1)

    def body(q: Qdq) -> Any:
        y = q.emit(R.nn.conv2d(q.quantise(q.x, 4), q.weight(w, 7)))
        return q.quantise(q.emit(R.nn.leakyrelu(y, alpha)), 3)

    module = lower_qdq(Qdq(1, 4, 16, 16).build(body))
    x = integers(1, 1, 4, 16, 16) / 16
    real = convolve(x, w / 128, 1, 0)
    steps = 8 * evaluate(module, x.astype(np.float32))
    expected = 8 * np.where(real < 0, alpha * real, real)
    seen = (8 * real >= -128) & (8 * real <= 127)
    assert np.min(real[seen]) < -15
    assert np.max(np.abs(steps - expected)[seen]) < 2
    np.testing.assert_array_equal(steps[seen & (real > 0)], half_up(expected, 0)[seen & (real > 0)])
    assert operators(module)[-9:-2] == [
        "right_shift", "multiply", "add", "right_shift", "maximum", "clip", "astype",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("alpha", "slope"),
    [
        (0.1, Slope(3, 5, 16)),
        (0.01, Slope(1, 7, 64)),
        (0.125, Slope(1, 3, 4)),
        (0.2, Slope(13, 6, 32)),
        (0.0, None),
        (1.0, None),
        (-0.1, None),
    ],
)
def test_slopes_have_the_least_terms_that_keep_within_a_step(
    alpha: float, slope: Slope | None
) -> None:
    assert nearest_slope(alpha) == slope


def test_leaky_relu_that_is_not_requantised_keeps_its_accumulator() -> None:
    """An addition of other fraction bits reads it in 32 bits."""
    w = integers(0, 4, 4, 1, 1)

    def body(q: Qdq) -> Any:
        x = q.quantise(q.x, 4)
        y = q.emit(R.nn.leakyrelu(q.emit(R.nn.conv2d(x, q.weight(w, 7))), 0.125))
        return q.quantise(q.emit(R.add(y, x)), 2)

    x = integers(1, 1, 4, 8, 8) / 16
    real = convolve(x, w / 128, 1, 0)
    leaky = np.maximum(real, half_up(real / 8, 11, -(2**31)))
    module = lower_qdq(Qdq(1, 4, 8, 8).build(body))
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), half_up(leaky + x, 2))


@pytest.mark.parametrize("groups", [2, 6])
def test_grouped_and_depthwise_convolution(groups: int) -> None:
    w = integers(0, 6, 6 // groups, 3, 3)

    def body(q: Qdq) -> Any:
        y = R.nn.conv2d(q.quantise(q.x, 4), q.weight(w, 7), padding=1, groups=groups)
        return q.quantise(q.emit(y), 2)

    module = lower_qdq(Qdq(1, 6, 5, 5).build(body))
    x = integers(1, 1, 6, 5, 5) / 16
    expected = half_up(convolve(x, w / 128, 1, 1, groups), 2)
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), expected)
    assert operators(module) == [*ENTRY, "nn.conv2d", "add", "right_shift", "clip", "astype", *EXIT]


@pytest.mark.parametrize("skip_bits", [2, 4, 11, 13])
def test_residual_add_aligns_the_coarser_operand(skip_bits: int) -> None:
    """The accumulator has 11 fraction bits; a finer skip moves the accumulator up instead."""
    w = integers(0, 4, 4, 1, 1)

    def body(q: Qdq) -> Any:
        y = q.emit(R.nn.conv2d(q.quantise(q.x, 4), q.weight(w, 7)))
        y = q.emit(R.add(y, q.quantise(q.x, skip_bits)))
        return q.quantise(q.emit(R.nn.relu(y)), 1)

    module = lower_qdq(Qdq(1, 4, 3, 3).build(body))
    x = integers(1, 1, 4, 3, 3) / 16
    skip = np.clip(np.rint(np.ldexp(x, skip_bits)), -128, 127) * 2.0**-skip_bits
    expected = half_up(np.maximum(convolve(x, w / 128, 1, 0) + skip, 0), 1)
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), expected)
    assert operators(module).count("left_shift") == (0 if skip_bits == 11 else 1)


def test_residual_add_has_the_form_that_vta_takes() -> None:
    w = integers(0, 4, 4, 1, 1)

    def body(q: Qdq) -> Any:
        x = q.quantise(q.x, 4)
        y = q.emit(R.nn.conv2d(x, q.weight(w, 7)))
        return q.quantise(q.emit(R.add(y, x)), 1)

    found = operators(lower_qdq(Qdq(1, 4, 3, 3).build(body)))
    skip = ["astype", "left_shift"]
    requantise = ["right_shift", "clip", "astype"]
    assert found == [*ENTRY, "nn.conv2d", *skip, "add", "add", *requantise, *EXIT]


@settings(max_examples=30)
@given(st.integers(-2, 8), st.integers(-2, 8), st.integers(-4, 9), st.booleans())
def test_add_of_two_tensors(left: int, right: int, out: int, relu: bool) -> None:
    def body(q: Qdq) -> Any:
        a, b = q.quantise(q.x, left), q.quantise(q.x, right)
        y = q.emit(R.add(a, b))
        return q.quantise(q.emit(R.nn.relu(y)) if relu else y, out)

    x = np.random.default_rng(left + 9).normal(0, 8, (1, 3, 4, 4)).astype(np.float32)
    a, b = (np.clip(np.rint(np.ldexp(x, f)), -128, 127) * 2.0**-f for f in (left, right))
    expected = half_up(np.maximum(a + b, 0) if relu else a + b, out)
    np.testing.assert_array_equal(evaluate(lower_qdq(Qdq(1, 3, 4, 4).build(body)), x), expected)


def test_add_without_convolution_has_the_form_that_vta_takes() -> None:
    def body(q: Qdq) -> Any:
        x = q.quantise(q.x, 4)
        return q.quantise(q.emit(R.add(x, x)), 3)

    found = operators(lower_qdq(Qdq(1, 4, 3, 3).build(body)))
    requantise = ["right_shift", "clip", "astype"]
    assert found == [*ENTRY, "astype", "astype", "add", "add", *requantise, *EXIT]


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(-2, 9), st.integers(0, 2**16))
def test_dense(inputs: int, outputs: int, out_bits: int, seed: int) -> None:
    w = integers(seed, inputs, outputs)
    bias = integers(seed + 1, outputs).astype(np.int32)

    def body(q: Qdq) -> Any:
        y = q.emit(R.matmul(q.quantise(q.x, 3), q.weight(w, 6)))
        return q.quantise(q.emit(R.add(y, q.weight(bias, 9))), out_bits)

    x = integers(seed + 2, 1, inputs) / 8
    module = lower_qdq(Qdq(1, inputs).build(body))
    expected = half_up(x @ (w / 64) + bias / 512, out_bits)
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), expected)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(-1, 6))
def test_average_pooling_multiplies_by_a_seven_bit_reciprocal(h: int, w: int, bits: int) -> None:
    def body(q: Qdq) -> Any:
        y = q.emit(R.mean(q.quantise(q.x, 4), axis=[2, 3], keepdims=True))
        return q.quantise(y, bits)

    x = integers(h * w, 1, 3, h, w) / 16
    factor, extra = reciprocal(h * w)
    sums = x.sum(axis=(2, 3), keepdims=True) * factor * 2.0**-extra
    module = lower_qdq(Qdq(1, 3, h, w).build(body))
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), half_up(sums, bits))


@given(st.integers(1, 10**6))
def test_reciprocal_is_within_its_last_bit(count: int) -> None:
    factor, extra = reciprocal(count)
    assert 64 <= factor <= 127
    assert abs(factor * 2.0**-extra * count - 1) <= 1 / 128


def test_pooling_flatten_and_concat_keep_int8() -> None:
    def body(q: Qdq) -> Any:
        x = q.quantise(q.x, 4)
        y = q.emit(R.nn.max_pool2d(x, (2, 2), strides=2, padding=1))
        return q.emit(R.reshape(q.emit(R.concat([y, y], axis=1)), (1, -1)))

    module = lower_qdq(Qdq(1, 2, 4, 4).build(body))
    assert operators(module) == [*ENTRY, "nn.max_pool2d", "concat", "reshape", *EXIT]
    x = integers(0, 1, 2, 4, 4) / 16
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    pooled = padded.reshape(1, 2, 3, 2, 3, 2).max(axis=(3, 5))
    expected = np.concatenate([pooled, pooled], axis=1).reshape(1, -1)
    np.testing.assert_array_equal(evaluate(module, x.astype(np.float32)), expected)


def test_concat_of_different_scales_is_still_exact() -> None:
    def body(q: Qdq) -> Any:
        parts = [q.quantise(q.x, 2), q.quantise(q.x, 5)]
        return q.quantise(q.emit(R.concat(parts, axis=1)), 4)

    x = np.random.default_rng(0).normal(0, 4, (1, 2, 3, 3)).astype(np.float32)
    parts = [np.clip(np.rint(np.ldexp(x, f)), -128, 127) * 2.0**-f for f in (2, 5)]
    module = lower_qdq(Qdq(1, 2, 3, 3).build(body))
    np.testing.assert_array_equal(evaluate(module, x), half_up(np.concatenate(parts, 1), 4))


def test_other_operators_run_in_float_between_exit_and_entry() -> None:
    def body(q: Qdq) -> Any:
        return q.quantise(q.emit(R.sigmoid(q.quantise(q.x, 4))), 7)

    module = lower_qdq(Qdq(1, 2, 3, 3).build(body))
    assert operators(module) == [*ENTRY, *EXIT, "sigmoid", *ENTRY, *EXIT]


def test_before_and_after() -> None:
    """Convolution with one weight: dq(8 * 2**-6), bias 1.5, x of 4, output of 3 fraction bits."""

    @I.ir_module
    class Before:
        @RS.function
        def main(x: RS.Tensor((1, 1, 2, 2), "float32")) -> RS.Tensor((1, 1, 2, 2), "float32"):
            with RS.dataflow():
                q = RS.quantize(x, RS.const(0.0625), RS.const(0, "int8"), out_dtype="int8")
                xr = RS.dequantize(q, RS.const(0.0625), RS.const(0, "int8"))
                w = RS.dequantize(RS.const(WEIGHT, "int8"), RS.const(0.015625), RS.const(0, "int8"))
                c = RS.nn.conv2d(xr, w)
                b = RS.add(c, RS.const(BIAS, "float32"))
                r = RS.nn.relu(b)
                p = RS.quantize(r, RS.const(0.125), RS.const(0, "int8"), out_dtype="int8")
                y = RS.dequantize(p, RS.const(0.125), RS.const(0, "int8"))
                RS.output(y)
            return y

    @I.ir_module
    class Expected:
        @RS.function
        def main(x: RS.Tensor((1, 1, 2, 2), "float32")) -> RS.Tensor((1, 1, 2, 2), "float32"):
            with RS.dataflow():
                scaled = RS.multiply(x, RS.const(16.0))
                rounded = RS.round(scaled)
                clipped = RS.clip(rounded, -128, 127)
                q = RS.astype(clipped, "int8")
                c = RS.nn.conv2d(q, RS.const(WEIGHT, "int8"), out_dtype="int32")
                b = RS.add(c, RS.const(FOLDED, "int32"))
                s = RS.right_shift(b, RS.const(7, "int32"))
                k = RS.clip(s, 0, 127)
                p = RS.astype(k, "int8")
                f = RS.astype(p, "float32")
                y = RS.multiply(f, RS.const(0.125))
                z = y
                RS.output(z)
            return z

    tvm.ir.assert_structural_equal(lower_qdq(Before), Expected)


WEIGHT = np.full((1, 1, 1, 1), 8, np.int8)
BIAS = np.full((1, 1, 1, 1), 1.5, np.float32)
FOLDED = np.full((1, 1, 1, 1), 1536 + 64, np.int32)  # 1.5 * 2**10, and half of 2**7


def refused(body: Any) -> str:
    with pytest.raises(ModelError) as error:
        lower_qdq(Qdq(1, 1, 2, 2).build(body))
    return str(error.value)


def test_refuses_a_scale_that_is_no_power_of_two() -> None:
    def body(q: Qdq) -> Any:
        scale, zero = relax.const(0.1, "float32"), relax.const(0, "int8")
        return q.emit(R.quantize(q.x, scale, zero, out_dtype="int8"), "layer3")

    message = refused(body)
    assert "layer3" in message
    assert "0.1" in message
    assert "nearest is 0.125" in message


def test_refuses_a_zero_point() -> None:
    def body(q: Qdq) -> Any:
        scale, zero = relax.const(0.5, "float32"), relax.const(3, "int8")
        return q.emit(R.quantize(q.x, scale, zero, out_dtype="int8"), "layer3")

    assert "tensor layer3: zero point 3 found" in refused(body)


def test_refuses_an_accumulator_that_can_overflow() -> None:
    """A bias of 2**20 with 11 fraction bits needs 32 bits."""

    def body(q: Qdq) -> Any:
        y = q.emit(R.nn.conv2d(q.quantise(q.x, 4), q.weight(integers(0, 1, 1, 1, 1), 7)), "big")
        bias = relax.const(np.full((1, 1, 1, 1), 2.0**20, np.float32))
        return q.quantise(q.emit(R.add(y, bias)), 4)

    assert "32 bits" in refused(body)
