"""Factors and offsets per channel move into the layer before."""

from __future__ import annotations

import numpy as np
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.relay_passes.fold_scale import fold_scale
from tests.relay_passes.compare import assert_leaves, assert_rewrites

RANDOM = np.random.default_rng(1)
W = RANDOM.standard_normal((4, 3, 3, 3), np.float32)
S = RANDOM.uniform(0.5, 1.5, 4).astype(np.float32)
T = RANDOM.standard_normal(4, np.float32)
S4, T4 = S.reshape(1, 4, 1, 1), T.reshape(1, 4, 1, 1)
WS = W * S[:, None, None, None]
TS = (T.astype(np.float64) * S).astype(np.float32)
TS4 = TS.reshape(1, 4, 1, 1)
D = RANDOM.standard_normal((6, 4), np.float32)
DS = D * S


def test_a_factor_goes_into_weights_and_bias_of_a_convolution() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(W))
                bias = R.add(conv, R.const(T4))
                y = R.multiply(bias, R.const(S4))
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(WS))
                y = R.add(conv, R.const(TS4))
                R.output(y)
            return y

    assert_rewrites(fold_scale, Before, Expected)


def test_a_factor_goes_into_the_columns_of_a_dense_layer() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 6), "float32")):
            with R.dataflow():
                dense = R.matmul(x, R.const(D))
                bias = R.add(dense, R.const(T.reshape(1, 4)))
                y = R.multiply(R.const(S), bias)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 6), "float32")):
            with R.dataflow():
                dense = R.matmul(x, R.const(DS))
                y = R.add(dense, R.const(TS))
                R.output(y)
            return y

    assert_rewrites(fold_scale, Before, Expected)


def test_divide_and_subtract_fold_as_their_inverses() -> None:
    half = np.float32(2)
    minus_t4 = -T4
    w_half = W * np.float32(0.5)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(W))
                scaled = R.divide(conv, R.const(half))
                y = R.subtract(scaled, R.const(T4))
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(w_half))
                y = R.add(conv, R.const(minus_t4))
                R.output(y)
            return y

    assert_rewrites(fold_scale, Before, Expected)


def test_factors_and_offsets_without_a_layer_become_one_of_each() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 4, 5, 5), "float32")):
            with R.dataflow():
                a = R.multiply(x, R.const(S4))
                b = R.add(a, R.const(T4))
                c = R.multiply(b, R.const(S4))
                d = R.add(c, R.const(T4))
                R.output(d)
            return d

    after = fold_scale(Before)
    ops = [binding.value.op.name for binding in after["main"].body.blocks[0].bindings]
    assert ops == ["relax.multiply", "relax.add"]
    assert_rewrites(fold_scale, Before, after)


def test_a_convolution_with_a_second_reader_keeps_its_weights() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(W))
                scaled = R.multiply(conv, R.const(S4))
                y = R.add(scaled, conv)
                R.output(y)
            return y

    assert_leaves(fold_scale, Module)


def test_a_factor_along_the_width_stays() -> None:
    along_width = np.arange(1, 4, dtype=np.float32)

    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 5, 5), "float32")):
            with R.dataflow():
                conv = R.nn.conv2d(x, R.const(W))
                y = R.multiply(conv, R.const(along_width))
                R.output(y)
            return y

    assert_leaves(fold_scale, Module)


def test_a_residual_addition_stays() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 4, 5, 5), "float32")):
            with R.dataflow():
                a = R.nn.relu(x)
                y = R.add(a, x)
                R.output(y)
            return y

    assert_leaves(fold_scale, Module)
