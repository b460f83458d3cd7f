"""Fraction bits by least mean-squared error."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.quantise.threshold import (
    best_bits,
    best_weight_bits,
    dequantise_array,
    quantise_array,
    safe_bits,
    squared_error,
)


@given(st.floats(1e-4, 1e4), st.integers(0, 2**16))
def test_best_bits_beats_every_other_choice(scale: float, seed: int) -> None:
    values = np.random.default_rng(seed).laplace(0, scale, 500).astype(np.float32)
    errors = {bits: squared_error(values, bits) for bits in range(-16, 25)}
    assert errors[best_bits([values])] == min(errors.values())


def test_one_outlier_is_saturated_for_the_sake_of_many() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 100_000), 20.0).astype(np.float32)
    assert safe_bits(20.0) == 2
    assert best_bits([values]) == 3


def test_a_shared_scale_serves_the_tensor_that_would_saturate() -> None:
    small, large = np.linspace(-1, 1, 99), np.linspace(-8, 8, 99)
    assert best_bits([small.astype(np.float32)]) == 7
    assert best_bits([small.astype(np.float32), large.astype(np.float32)]) == 4


def test_a_weight_on_a_dead_input_may_saturate() -> None:
    weight = np.asarray([[100.0, 0.7, -0.3]], np.float32)
    assert best_weight_bits(weight, np.ones((1, 3))) == 0
    assert best_weight_bits(weight, np.asarray([[1e-9, 1.0, 1.0]])) > 0


def test_zeros_and_nothing_have_a_scale_too() -> None:
    assert best_bits([np.zeros(4, np.float32)]) == 7
    assert best_bits([np.zeros(0, np.float32)]) == 7


def test_quantise_rounds_half_up_and_saturates() -> None:
    values = np.asarray([-0.5, 0.5, 1.5, 300.0, -300.0], np.float32)
    assert quantise_array(values, 0).tolist() == [0, 1, 2, 127, -128]
    assert dequantise_array(np.asarray([-3], np.int8), 2).tolist() == [-0.75]
