"""Folding a picture's pixels into channels keeps every bit and leaves fewer kernel positions."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from lcp_tvm.relay_passes.fold_input import best_folding, fold_input
from tests.reference import evaluate
from tests.vta import builders

BLOCK = 16


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "taps"),
    [
        (3, 7, 2, 14),  # ResNet: four columns a position
        (3, 3, 1, 3),  # VGG: a whole row of the kernel
        (1, 3, 1, 1),  # a grey picture: the whole kernel
        (3, 11, 4, 33),  # AlexNet
        (3, 3, 2, 3),  # MobileNet
    ],
)
def test_kernel_positions_that_are_left(channels: int, kernel: int, stride: int, taps: int) -> None:
    folding = best_folding(channels, (kernel, kernel), (stride, stride), BLOCK)
    assert folding is not None
    assert folding.taps == taps
    assert folding.lanes * channels <= BLOCK


def test_nothing_to_fold() -> None:
    assert best_folding(16, (3, 3), (1, 1), BLOCK) is None
    assert best_folding(3, (1, 1), (1, 1), BLOCK) is None


@st.composite
def first_convolutions(draw: st.DrawFn) -> tvm.IRModule:
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    return builders.conv(
        np.random.default_rng(draw(st.integers(0, 1000))),
        (draw(st.integers(1, 8)), *(draw(st.integers(k, k + 15)) for k in kernel)),
        draw(st.integers(1, 5)),
        kernel,
        stride=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)),
    )


@settings(max_examples=60)
@given(module=first_convolutions(), seed=st.integers(0, 1000))
def test_every_bit_stays(module: tvm.IRModule, seed: int) -> None:
    inputs = builders.random_inputs(np.random.default_rng(seed), module)
    folded = fold_input(module, BLOCK)
    np.testing.assert_array_equal(evaluate(folded, *inputs), evaluate(module, *inputs))


def test_only_convolutions_of_the_input_are_folded() -> None:
    """The second convolution has three channels too, but its data is already on VTA."""
    rng = np.random.default_rng(0)

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x: relax.Expr = params[0]
        for _ in range(2):
            weight = relax.const(rng.integers(-9, 9, (3, 3, 3, 3)).astype(np.int8))
            acc = emit(relax.op.nn.conv2d(x, weight, padding=1, out_dtype="int32"))
            acc = emit(relax.op.add(acc, builders.int32(np.ones((1, 3, 1, 1)))))
            x = builders.requantise(emit, acc, 6, 0, 127)
        return x

    folded = fold_input(builders.module_of({"x": (1, 3, 9, 9)}, body), BLOCK)
    kernels = [
        tuple(int(size) for size in binding.value.args[1].ty.shape)
        for block in folded["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, tvm.ir.Call) and binding.value.op.name == "relax.nn.conv2d"
    ]
    assert kernels == [(3, 9, 3, 1), (3, 3, 3, 3)]
