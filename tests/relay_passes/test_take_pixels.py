"""A network of values becomes one of pixels, which it normalises itself."""

from __future__ import annotations

import numpy as np
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.relay_passes.take_pixels import take_pixels

MEAN, STD = (0.5, 0.25, 0.125), (1.0, 2.0, 4.0)


@I.ir_module
class Values:
    @R.function
    def main(x: R.Tensor((1, 3, 2, 2), "float32")):
        with R.dataflow():
            a = R.nn.relu(x)
            y = R.add(a, x)
            R.output(y)
        return y


def test_pixels_are_normalised_first() -> None:
    mean = np.array(MEAN, np.float32).reshape(1, 3, 1, 1)
    std = np.array(STD, np.float32).reshape(1, 3, 1, 1)
    scale = np.array(0.5, np.float32).reshape(1, 1, 1, 1)

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 2, 2), "uint8")):
            with R.dataflow():
                pixels = R.astype(x, "float32")
                normalised = R.multiply(pixels, R.const(scale))
                normalised_2 = R.subtract(normalised, R.const(mean))
                normalised_3 = R.divide(normalised_2, R.const(std))
                a = R.nn.relu(normalised_3)
                y = R.add(a, normalised_3)
                R.output(y)
            return y

    tvm.ir.assert_structural_equal(take_pixels(Values, 0.5, MEAN, STD), Expected, True)


def test_what_changes_nothing_is_left_out() -> None:
    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((1, 3, 2, 2), "uint8")):
            with R.dataflow():
                pixels = R.astype(x, "float32")
                a = R.nn.relu(pixels)
                y = R.add(a, pixels)
                R.output(y)
            return y

    tvm.ir.assert_structural_equal(take_pixels(Values, 1.0, (0.0,), (1.0,)), Expected, True)
