"""What depends on constants only is computed; quantised constants stay integers."""

from __future__ import annotations

import numpy as np
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.relay_passes.fold_constant import fold_constant
from lcp_tvm.relay_passes.move_dequantize import move_dequantize
from tests.relay_passes.compare import assert_leaves, assert_rewrites

BIAS = np.array([1, 2, 3], np.float32)
INTEGERS = np.array([[1, -2, 3], [4, 5, -6]], np.int8)
SCALES = np.array([0.5, 0.25], np.float32)
ZEROS = np.zeros(2, np.int8)


def test_a_reshaped_bias_is_a_constant() -> None:
    shaped = BIAS.reshape(1, 3, 1, 1)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 4, 4), "float32")):
            with R.dataflow():
                bias = R.reshape(R.const(BIAS), [1, 3, 1, 1])
                y = R.add(x, bias)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 4, 4), "float32")):
            with R.dataflow():
                y = R.add(x, R.const(shaped))
                R.output(y)
            return y

    assert_rewrites(fold_constant, Before, Expected)


def test_dequantised_weights_stay_integers() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 2), "float32")):
            with R.dataflow():
                w = R.dequantize(
                    R.const(INTEGERS), R.const(SCALES), R.const(ZEROS), axis=0, out_dtype="float32"
                )
                y = R.matmul(x, w)
                R.output(y)
            return y

    assert_leaves(fold_constant, Module)


def test_transposing_dequantised_weights_transposes_the_integers() -> None:
    transposed = np.ascontiguousarray(INTEGERS.T)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3), "float32")):
            with R.dataflow():
                w = R.dequantize(
                    R.const(INTEGERS), R.const(SCALES), R.const(ZEROS), axis=0, out_dtype="float32"
                )
                t = R.permute_dims(w, [1, 0])
                y = R.matmul(x, t)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3), "float32")):
            with R.dataflow():
                t = R.dequantize(
                    R.const(transposed),
                    R.const(SCALES),
                    R.const(ZEROS),
                    axis=1,
                    out_dtype="float32",
                )
                y = R.matmul(x, t)
                R.output(y)
            return y

    assert_rewrites(move_dequantize, Before, Expected)


def test_the_axis_of_scales_follows_a_bias_into_its_shape() -> None:
    bias, shaped = np.array([7, -8], np.int32), np.array([7, -8], np.int32).reshape(1, 2, 1, 1)
    zeros = np.zeros(2, np.int32)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 2, 3, 3), "float32")):
            with R.dataflow():
                b = R.dequantize(
                    R.const(bias), R.const(SCALES), R.const(zeros), axis=0, out_dtype="float32"
                )
                r = R.reshape(b, [1, 2, 1, 1])
                y = R.add(x, r)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 2, 3, 3), "float32")):
            with R.dataflow():
                r = R.dequantize(
                    R.const(shaped), R.const(SCALES), R.const(zeros), axis=1, out_dtype="float32"
                )
                y = R.add(x, r)
                R.output(y)
            return y

    assert_rewrites(move_dequantize, Before, Expected)


def test_scales_that_a_reshape_would_spread_stay_before_it() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((6,), "float32")):
            with R.dataflow():
                w = R.dequantize(
                    R.const(INTEGERS), R.const(SCALES), R.const(ZEROS), axis=0, out_dtype="float32"
                )
                r = R.reshape(w, [6])
                y = R.add(x, r)
                R.output(y)
            return y

    assert_leaves(move_dequantize, Module)
