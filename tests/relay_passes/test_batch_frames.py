"""A network of one frame becomes one of several; what would mix them is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op
from tvm.script import ir as I
from tvm.script import relax as R

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.batch_frames import batch_frames
from tests.quantise.float_builder import Floats
from tests.reference import evaluate


def test_axis_0_counts_frames_and_constants_stay() -> None:
    weight = np.ones((3, 3, 1, 1), np.float32)

    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((1, 3, 2, 2), "float32")):
            with R.dataflow():
                a = R.nn.conv2d(x, R.const(weight))
                flat = R.reshape(a, R.shape([1, 12]))
                y = R.add(flat, flat)
                R.output(y)
            return y

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((4, 3, 2, 2), "float32")):
            with R.dataflow():
                a = R.nn.conv2d(x, R.const(weight))
                flat = R.reshape(a, R.shape([4, 12]))
                y = R.add(flat, flat)
                R.output(y)
            return y

    tvm.ir.assert_structural_equal(batch_frames(Before, 4), Expected, True)


def test_every_frame_has_the_bits_that_it_has_alone() -> None:
    def body(f: Floats) -> relax.Expr:
        stem = f.relu(f.conv(f.x, 8, 3, "stem"), "stem_out")
        upper = f.emit(op.strided_slice(stem, [1], [4], [8]), "upper")
        lower = f.emit(op.strided_slice(stem, [1], [0], [4]), "lower")
        joined = f.emit(op.concat([upper, lower], axis=1), "joined")
        pooled = f.emit(op.mean(joined, axis=[2, 3], keepdims=True), "pooled")
        flat = f.emit(op.reshape(pooled, (1, 8)), "flat")
        return f.emit(op.nn.softmax(f.emit(op.matmul(flat, relax.const(f.normal(8, 5))))), "y")

    module = Floats(1, 3, 9, 9).build(body)
    x = np.random.default_rng(0).normal(size=(3, 3, 9, 9)).astype(np.float32)
    alone = np.concatenate([evaluate(module, frame) for frame in np.split(x, 3)])
    np.testing.assert_allclose(evaluate(batch_frames(module, 3), x), alone, rtol=1e-5)


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (lambda x: op.mean(x), "mean gv mixes frames"),
        (lambda x: op.permute_dims(x, [1, 0, 2, 3]), "permute_dims gv mixes frames"),
        (lambda x: op.reshape(x, (3, 4)), "reshape y mixes frames"),
        (lambda x: op.concat([x, x], axis=0), "concat gv mixes frames"),
        (lambda x: op.concat([x, relax.const(np.zeros((1, 1, 2, 2), np.float32))], axis=1), ""),
    ],
    ids=["mean", "transpose", "reshape", "concat", "constant"],
)
def test_what_mixes_frames_is_refused(
    operator: Callable[[relax.Var], relax.Expr], reason: str
) -> None:
    module = Floats(1, 3, 2, 2).build(lambda f: f.emit(operator(f.x), "y"))
    with pytest.raises(ModelError, match=f"^4 frames cannot be computed together: .*{reason}") as e:
        batch_frames(module, 4)
    assert str(e.value).endswith("; compile for one at a time")
    assert "\n" not in str(e.value)
