"""Resizing along one axis as a matrix, in every coordinate mode of Relax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_COORDINATES: dict[str, Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]] = {
    "asymmetric": lambda at, size, result: at * size / result,
    "half_pixel": lambda at, size, result: (at + 0.5) * size / result - 0.5,
    "pytorch_half_pixel": lambda at, size, result: (
        (at + 0.5) * size / result - 0.5 if result > 1 else at * 0
    ),
    "align_corners": lambda at, size, result: at * (size - 1) / max(1, result - 1),
}

_ROUNDING: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "": lambda at: np.ceil(at - 0.5),
    "round": lambda at: np.ceil(at - 0.5),
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def interpolation(size: int, result: int, mode: str, rounding: str | None) -> Array:
    """Return the matrix [result, size] that resizes an axis of ``size`` elements.

    Parameters
    ----------
    mode : how a place in the result becomes one in the operand, as `relax.image.resize2d` calls it.
    rounding : to the nearest neighbour in this way; None interpolates between the two.

    Raises
    ------
    ValueError
        A mode or way of rounding that is not known.
    """
    if mode not in _COORDINATES or (rounding is not None and rounding not in _ROUNDING):
        raise ValueError(f"coordinates {mode} with rounding {rounding} are not supported")
    at = _COORDINATES[mode](np.arange(result, dtype=np.float64), size, result)
    rows, matrix = np.arange(result), np.zeros((result, size))
    if rounding is not None:
        matrix[rows, _inside(_ROUNDING[rounding](at), size)] = 1
        return matrix.astype(np.float32)
    low = np.floor(at)
    np.add.at(matrix, (rows, _inside(low, size)), 1 - (at - low))
    np.add.at(matrix, (rows, _inside(low + 1, size)), at - low)
    return matrix.astype(np.float32)


def _inside(at: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    return np.clip(at, 0, size - 1).astype(np.int64)
