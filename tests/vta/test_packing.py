"""Weights and biases mean the same after packing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.vta.packing import bias_block_count, constant_input, pack_bias

BIASES = st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=40)


@given(values=BIASES, block=st.sampled_from([16, 32]))
def test_bias_weights_times_the_constant_input_are_the_bias(values: list[int], block: int) -> None:
    bias = np.zeros(-(-len(values) // block) * block, dtype=np.int32)
    bias[: len(values)] = values
    count = bias_block_count(bias, block)
    if count == 0:
        assert not bias.any()
        return
    packed = pack_bias(bias, count, block).astype(np.int64)
    products = packed @ constant_input(block).astype(np.int64)
    np.testing.assert_array_equal(products.sum(axis=0).reshape(-1), bias)


def test_a_usual_bias_takes_one_element() -> None:
    assert bias_block_count(np.array([200_000] * 16, dtype=np.int32), 16) == 1
    assert bias_block_count(np.zeros(16, dtype=np.int32), 16) == 0
