"""Padding merges into the convolution or pool that reads it, where that is exact."""

from __future__ import annotations

import numpy as np
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.relay_passes.fold_pad import fold_pad
from tests.relay_passes.compare import assert_leaves, assert_rewrites

W = np.random.default_rng(2).standard_normal((4, 3, 3, 3), np.float32)


def test_zeros_into_a_convolution_that_pads_too() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                pad = R.nn.pad(x, [0, 0, 0, 0, 0, 1, 2, 3])
                y = R.nn.conv2d(pad, R.const(W), strides=2, padding=1)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                y = R.nn.conv2d(x, R.const(W), strides=2, padding=[1, 3, 2, 4])
                R.output(y)
            return y

    assert_rewrites(fold_pad, Before, Expected)


def test_zeros_into_a_max_pool_of_what_is_never_negative() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                relu = R.nn.relu(x)
                pad = R.nn.pad(relu, [0, 0, 0, 0, 1, 1, 1, 1])
                y = R.nn.max_pool2d(pad, [3, 3], strides=2)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                relu = R.nn.relu(x)
                y = R.nn.max_pool2d(relu, [3, 3], strides=2, padding=1)
                R.output(y)
            return y

    assert_rewrites(fold_pad, Before, Expected)


def test_zeros_stay_before_a_max_pool_of_negative_values() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                pad = R.nn.pad(x, [0, 0, 0, 0, 1, 1, 1, 1])
                y = R.nn.max_pool2d(pad, [3, 3], strides=2)
                R.output(y)
            return y

    assert_leaves(fold_pad, Module)


def test_zeros_stay_where_a_window_sees_nothing_else() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                relu = R.nn.relu(x)
                pad = R.nn.pad(relu, [0, 0, 0, 0, 2, 2, 2, 2])
                y = R.nn.max_pool2d(pad, [2, 2], strides=2)
                R.output(y)
            return y

    assert_leaves(fold_pad, Module)


def test_padding_of_channels_or_with_another_value_stays() -> None:
    wide = np.zeros((4, 5, 3, 3), np.float32)

    @I.ir_module
    class Channels:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                pad = R.nn.pad(x, [0, 0, 1, 1, 0, 0, 0, 0])
                y = R.nn.conv2d(pad, R.const(wide))
                R.output(y)
            return y

    @I.ir_module
    class Ones:
        @R.function
        def main(x: R.Tensor((1, 3, 6, 6), "float32")):
            with R.dataflow():
                pad = R.nn.pad(x, [0, 0, 0, 0, 1, 1, 1, 1], pad_value=1.0)
                y = R.nn.conv2d(pad, R.const(W))
                R.output(y)
            return y

    assert_leaves(fold_pad, Channels)
    assert_leaves(fold_pad, Ones)
