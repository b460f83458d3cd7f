"""Weights of MXNet networks from their names and shapes, and ``.params`` files of them.

Free of MXNet and of our own reader, so that both sides of a comparison can have the same.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np

NO_STORAGE, STORAGE, NUMPY_SHAPES = 0xF993FAC8, 0xF993FAC9, 0xF993FACA


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Float32 values that keep activations near 1, statistics of batch norm included."""
    return {name: _values(name, tuple(shape)) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(crc32(name.split("_", 1)[-1].encode()))
    if name.endswith(("gamma", "var")):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("beta", "mean", "bias")):
        values = rng.uniform(-0.2, 0.2, shape)
    else:
        values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    return values.astype(np.float32)


def picture(size: int) -> np.ndarray:
    """An input, float32 ``[1, 3, size, size]``."""
    return np.random.default_rng(size).normal(0, 1, (1, 3, size, size)).astype(np.float32)


def params_file(arrays: Mapping[str, np.ndarray], version: int = STORAGE) -> bytes:
    """A ``.params`` file; version 0 is the oldest, with dimensions of 32 bits."""
    codes = {"f4": 0, "f8": 1, "f2": 2, "u1": 3, "i4": 4, "i1": 5, "i8": 6}
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        dims = struct.pack(f"<{array.ndim}{'q' if version else 'I'}", *array.shape)
        if version in (STORAGE, NUMPY_SHAPES):
            parts.append(struct.pack("<Iii", version, 0, array.ndim))
        elif version == NO_STORAGE:
            parts.append(struct.pack("<Ii", version, array.ndim))
        else:
            parts.append(struct.pack("<I", array.ndim))
        parts += [dims, struct.pack("<iii", 1, 0, codes[array.dtype.str[1:]]), array.tobytes()]
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts += [struct.pack("<Q", len(name)), name.encode()]
    return b"".join(parts)
