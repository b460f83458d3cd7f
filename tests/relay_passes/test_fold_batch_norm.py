"""Batch norm becomes a factor and an offset per channel."""

from __future__ import annotations

import numpy as np
import pytest
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.fold_batch_norm import fold_batch_norm
from tests.relay_passes.compare import assert_rewrites

GAMMA = np.array([1, 2, 4], np.float32)
BETA = np.array([1, 0, -1], np.float32)
MEAN = np.array([0.5, -1, 2], np.float32)
VAR = np.array([3, 15, 0], np.float32)
# gamma / sqrt(var + 1), with an epsilon of 1: exact in float32
SCALE = np.array([0.5, 0.5, 4], np.float32).reshape(1, 3, 1, 1)
SHIFT = np.array([0.75, 0.5, -9], np.float32).reshape(1, 3, 1, 1)


def test_on_a_picture() -> None:
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 4, 4), "float32")):
            with R.dataflow():
                norm = R.nn.batch_norm(
                    x, R.const(GAMMA), R.const(BETA), R.const(MEAN), R.const(VAR), axis=1,
                    epsilon=1.0, training=False,
                )  # fmt: skip
                y = norm[0]
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 4, 4), "float32")):
            with R.dataflow():
                scaled = R.multiply(x, R.const(SCALE))
                y = R.add(scaled, R.const(SHIFT))
                R.output(y)
            return y

    assert_rewrites(fold_batch_norm, Before, Expected)


def test_after_a_dense_layer() -> None:
    scale, shift = SCALE.reshape(3), SHIFT.reshape(3)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3), "float32")):
            with R.dataflow():
                norm = R.nn.batch_norm(
                    x, R.const(GAMMA), R.const(BETA), R.const(MEAN), R.const(VAR), axis=1,
                    epsilon=1.0, training=False,
                )  # fmt: skip
                y = norm[0]
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3), "float32")):
            with R.dataflow():
                scaled = R.multiply(x, R.const(scale))
                y = R.add(scaled, R.const(shift))
                R.output(y)
            return y

    assert_rewrites(fold_batch_norm, Before, Expected)


def test_statistics_that_are_computed_are_refused() -> None:
    @I.ir_module
    class Module:
        @R.function
        def main(x: R.Tensor((1, 3, 4, 4), "float32")):
            with R.dataflow():
                mean = R.mean(x, axis=[0, 2, 3])
                norm = R.nn.batch_norm(
                    x, R.const(GAMMA), R.const(BETA), mean, R.const(VAR), axis=1, training=False
                )
                y = norm[0]
                R.output(y)
            return y

    with pytest.raises(ModelError, match="y: batch norm whose statistics are computed"):
        fold_batch_norm(Module)
