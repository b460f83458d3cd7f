"""Fraction bits with the least mean-squared error of rounding and saturation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FINEST, COARSEST = 24, -16  # fraction bits considered
SAMPLE = 1 << 18  # weights of a layer that its scale is chosen by
SEARCH = 5  # candidates tried from the coarsest useful one upwards


def quantise_array(values: NDArray[np.float32], bits: int) -> NDArray[np.int8]:
    """``values`` as int8 with ``bits`` fraction bits: rounded half up, saturated."""
    scaled = np.floor(np.ldexp(values, bits) + np.float32(0.5))
    return np.clip(scaled, -128, 127).astype(np.int8)


def dequantise_array(values: NDArray[np.int8], bits: int) -> NDArray[np.float32]:
    return np.ldexp(values.astype(np.float32), -bits)


def squared_error(
    values: NDArray[np.float32], bits: int, importance: NDArray[np.float64] | None = None
) -> float:
    """Mean-squared error of ``values`` with ``bits`` fraction bits.

    ``importance`` (broadcastable) weighs the squares.
    """
    scaled = np.ldexp(values, bits)
    squares = np.square(np.clip(np.rint(scaled), -128, 127) - scaled)
    if importance is not None:
        squares = squares * importance
    return math.ldexp(float(np.mean(squares, dtype=np.float64)), -2 * bits)


def safe_bits(largest: float) -> int:
    """The most fraction bits at which a magnitude up to ``largest`` does not saturate."""
    if largest <= 0.0 or not math.isfinite(largest):
        return 7
    return max(COARSEST, min(FINEST, math.floor(math.log2(127.5 / largest))))


def best_weight_bits(weight: NDArray[np.float32], importance: NDArray[np.float64]) -> int:
    """The fraction bits at which rounding the weights disturbs the layer's output least.

    ``importance`` (broadcastable) is the power of what each weight is multiplied with: a large
    weight on an input that hardly varies may saturate for the sake of the others.
    """
    coarsest = safe_bits(float(np.max(np.abs(weight), initial=0.0)))
    weight, importance = thinned(weight, SAMPLE), thinned_like(importance, weight.shape, SAMPLE)
    candidates = range(coarsest, min(coarsest + SEARCH, FINEST + 1))
    return best_of({bits: squared_error(weight, bits, importance) for bits in candidates})


def thinned(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Every n-th number, about ``most`` at most.

    n is odd so as not to keep to a column of a shape that is a power of two.
    """
    return values.reshape(-1)[:: _stride(values.size, most)]


def thinned_like(values: NDArray[Any], shape: tuple[int, ...], most: int) -> NDArray[Any]:
    """``thinned(values broadcast to shape)`` without making all of it."""
    places = np.arange(0, math.prod(shape), _stride(math.prod(shape), most))
    return np.asarray(np.broadcast_to(values, shape)[np.unravel_index(places, shape)])


def _stride(size: int, most: int) -> int:
    return max(1, math.ceil(size / most)) | 1 if size > most else 1


def best_bits(samples: Iterable[NDArray[np.float32]]) -> int:
    """The fraction bits that serve one or several tensors of a shared scale best.

    Errors are relative to each tensor's power, so that a small tensor is not given up for a
    large one.
    """
    return best_of(error_by_bits(samples))


def error_by_bits(samples: Iterable[NDArray[np.float32]]) -> dict[int, float]:
    """Fraction bits -> sum over the tensors of their noise-to-signal ratio."""
    tensors = [tensor.reshape(-1) for tensor in samples if tensor.size]
    largest = max((float(np.max(np.abs(tensor))) for tensor in tensors), default=0.0)
    coarsest = safe_bits(largest)
    powers = [max(float(np.mean(np.square(t), dtype=np.float64)), 1e-30) for t in tensors]
    return {
        bits: sum(
            squared_error(tensor, bits) / power
            for tensor, power in zip(tensors, powers, strict=True)
        )
        for bits in range(coarsest, min(coarsest + SEARCH, FINEST + 1))
    }


def best_of(errors: Mapping[int, float]) -> int:
    """The fraction bits of the least error; of equals the fewest."""
    return min(errors, key=lambda bits: (errors[bits], bits))
