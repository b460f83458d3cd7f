"""Crops stand right behind what they crop."""

from __future__ import annotations

import tvm
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.cpu.crop_early import crop_early


def test_crops_move_and_all_else_stays() -> None:
    """Crops of crops move along; those of arguments stay, in their order."""

    @I.ir_module
    class Before:
        @R.function
        def main(
            x: R.Tensor((1, 2, 8), "float32"),
        ) -> R.Tuple(
            R.Tensor((1, 2, 2), "float32"),
            R.Tensor((1, 2, 4), "float32"),
            R.Tensor((1, 2, 8), "float32"),
        ):
            with R.dataflow():
                a = R.nn.relu(x)
                b = R.exp(a)
                c = R.strided_slice(x, axes=[2], begin=[0], end=[8])
                d = R.add(b, c)
                e = R.strided_slice(a, axes=[2], begin=[0], end=[4])
                f = R.strided_slice(b, axes=[2], begin=[4], end=[8])
                g = R.strided_slice(e, axes=[2], begin=[0], end=[2])
                R.output(d, f, g)
            return (g, f, d)

    @I.ir_module
    class Expected:
        @R.function
        def main(
            x: R.Tensor((1, 2, 8), "float32"),
        ) -> R.Tuple(
            R.Tensor((1, 2, 2), "float32"),
            R.Tensor((1, 2, 4), "float32"),
            R.Tensor((1, 2, 8), "float32"),
        ):
            with R.dataflow():
                a = R.nn.relu(x)
                e = R.strided_slice(a, axes=[2], begin=[0], end=[4])
                g = R.strided_slice(e, axes=[2], begin=[0], end=[2])
                b = R.exp(a)
                f = R.strided_slice(b, axes=[2], begin=[4], end=[8])
                c = R.strided_slice(x, axes=[2], begin=[0], end=[8])
                d = R.add(b, c)
                R.output(d, f, g)
            return (g, f, d)

    tvm.ir.assert_structural_equal(crop_early(Before), Expected)
