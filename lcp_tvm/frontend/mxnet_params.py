"""MXNet's ``.params`` files: named arrays, in every version of the format.

Little endian throughout. A file is ``u64 0x112, u64 0, u64 n``, n arrays, ``u64 n``, n names (u64
length and bytes). An array begins with a word that tells its version: the newer ones have a storage
type and 64-bit dimensions, the oldest has the number of its 32-bit dimensions there.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import numpy as np

from lcp_tvm.bounded_file import read_bounded
from lcp_tvm.errors import InputError

MAX_BYTES = 2 << 30
MAX_ARRAYS = 1 << 16
MAX_DIMS = 32
MAX_NAME_BYTES = 1 << 12

_MAGIC = 0x112
_NO_STORAGE = 0xF993FAC8
_STORAGE = (0xF993FAC9, 0xF993FACA)
_SPARSE = {1: ("row_sparse", 1), 2: ("csr", 2)}  # and how many arrays of indices it has
_DEVICE_BYTES = 8
_DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}


def read_params(path: Path) -> dict[str, np.ndarray]:
    """Read a file's arrays by their names, ``arg:`` and ``aux:`` left out.

    Raises
    ------
    InputError
        It cannot be read, is no such file, is truncated, or has sparse arrays.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        return parse_params(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_params(data: bytes) -> dict[str, np.ndarray]:
    """Take the bytes of a ``.params`` file apart; the arrays are copies.

    Raises
    ------
    InputError
        The bytes are not such a file's.
    """
    reader = _Reader(data)
    if len(data) < 24 or reader.word("<Q") != _MAGIC:
        raise InputError("not a .params file of MXNet")
    reader.word("<Q")
    arrays = [reader.array(number) for number in range(reader.count("arrays"))]
    names = [reader.name() for _ in range(reader.count("names"))]
    if len(names) != len(arrays):
        raise InputError(
            f"{len(arrays)} arrays have {len(names)} names; save the network by block.export()"
        )
    found: dict[str, np.ndarray] = {}
    for name, array in zip(names, arrays, strict=True):
        short = name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name
        if short in found:
            raise InputError(f"two arrays are called {short!r}")
        if array is None:
            raise InputError(f"array {name!r} is empty; initialise the network before saving it")
        if isinstance(array, str):
            raise InputError(f"array {name!r} is {array}; only dense arrays are supported")
        found[short] = array
    return found


class _Reader:
    """Bytes, and how far they are read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise InputError(f"truncated at byte {len(self.data)}; copy it again")
        self.at += size
        return piece

    def word(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def count(self, what: str) -> int:
        count = self.word("<Q")
        if count > MAX_ARRAYS:
            raise InputError(f"{count} {what}, more than {MAX_ARRAYS}; it is damaged")
        return count

    def name(self) -> str:
        size = self.word("<Q")
        if size > MAX_NAME_BYTES:
            raise InputError(f"a name of {size} bytes; it is damaged")
        return self.take(size).decode("utf-8", "replace")

    def array(self, number: int) -> np.ndarray | str | None:
        """An array; its kind when it is sparse, None when it holds nothing."""
        first = self.word("<I")
        storage = 0
        if first in _STORAGE:
            storage = self.word("<i")
            if storage in _SPARSE:
                return self.sparse(number, storage)
            if storage != 0:
                raise InputError(f"array {number} has storage type {storage}; it is damaged")
        wide = first in _STORAGE or first == _NO_STORAGE
        shape = self.shape(number, self.word("<i") if wide else first, wide=wide)
        return self.dense(number, shape) if shape else None

    def shape(self, number: int, dims: int, *, wide: bool) -> tuple[int, ...]:
        if not 0 <= dims <= MAX_DIMS:
            raise InputError(f"array {number} has {dims} dimensions; it is damaged")
        shape = tuple(self.word("<q" if wide else "<I") for _ in range(dims))
        if any(size < 0 for size in shape):
            raise InputError(f"array {number} has the shape {list(shape)}; it is damaged")
        return shape

    def dtype(self, number: int) -> np.dtype[np.generic]:
        code = self.word("<i")
        if code not in _DTYPES:
            raise InputError(f"array {number} has the element type {code}, which is not known")
        return np.dtype(_DTYPES[code])

    def dense(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        self.take(_DEVICE_BYTES)
        dtype = self.dtype(number)
        raw = self.take(prod(shape) * dtype.itemsize)
        # numpy has no such shape, not even of an array that a size of 0 leaves empty.
        if prod(size or 1 for size in shape) > MAX_BYTES:
            raise InputError(f"array {number} has the shape {list(shape)}; it is damaged")
        return np.frombuffer(raw, dtype).reshape(shape).copy()

    def sparse(self, number: int, storage: int) -> str:
        """Step over a sparse array, whose name is still to come; its kind."""
        kind, indices = _SPARSE[storage]
        stored = self.shape(number, self.word("<i"), wide=True)
        if self.shape(number, self.word("<i"), wide=True):
            self.take(_DEVICE_BYTES)
            sizes = [prod(stored) * self.dtype(number).itemsize]
            for _ in range(indices):
                itemsize = self.dtype(number).itemsize
                sizes.append(itemsize * prod(self.shape(number, self.word("<i"), wide=True)))
            for size in sizes:
                self.take(size)
        return kind
