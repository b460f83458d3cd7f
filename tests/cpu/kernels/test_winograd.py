"""Winograd's transforms, by the definition of a convolution."""

from __future__ import annotations

import numpy as np
import pytest

from lcp_tvm.cpu.kernels.winograd import KERNEL, POINTS, transforms


@pytest.mark.parametrize("outputs", POINTS)
def test_transforms_compute_the_convolution_of_a_tile(outputs: int) -> None:
    rng = np.random.default_rng(outputs)
    matrices = transforms(outputs)
    inputs = outputs + KERNEL - 1
    data, weight = rng.normal(size=(inputs, inputs)), rng.normal(size=(KERNEL, KERNEL))
    products = (matrices.weight @ weight @ matrices.weight.T) * (
        matrices.data @ data @ matrices.data.T
    )
    windows = np.lib.stride_tricks.sliding_window_view(data, (KERNEL, KERNEL))
    expected = np.einsum("rcij,ij->rc", windows, weight)
    np.testing.assert_allclose(matrices.result @ products @ matrices.result.T, expected, atol=1e-12)


def test_the_points_of_4_lose_fewer_digits_than_the_usual_ones() -> None:
    """What results of the products' roundings are multiplied by, at most, in a sum."""
    matrices = transforms(4)
    usual = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0],
                      [0, 1, -1, 8, -8, 1]])  # fmt: skip
    gain = np.linalg.norm(matrices.result, axis=1).max()
    assert gain < np.linalg.norm(usual, axis=1).max() / 2
