"""Arrays of an ``.npz`` file, read without trust: no pickles, no sizes that it cannot hold."""

from __future__ import annotations

import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.errors import InputError
from lcp_tvm.train.inflate import read_exactly

_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[^']{1,16})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(\d{1,10}, ?){0,8}(\d{1,10})?)\),? *\}\s*"
)
_LONGEST_HEADER = 4096
_DAMAGED = (
    EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
    lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npz(path: Path, wanted: Sequence[Sequence[str]]) -> list[NDArray[np.generic]]:
    """Read arrays of numbers.

    Parameters
    ----------
    wanted : of each array the names it may have; the first that is there is read.

    Raises
    ------
    InputError
        It cannot be read, an array is missing, or it does not hold what its header says.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy"): name for name in archive.namelist()}
            found = [_choose(names, there, path) for names in wanted]
            return [_read(archive, there[name], size, f"{path}: {name}") for name in found]
    except _DAMAGED as error:
        raise InputError(f"{path}: not an .npz that can be read ({error})") from error


def _choose(names: Sequence[str], there: dict[str, str], path: Path) -> str:
    for name in names:
        if name in there:
            return name
    found = ", ".join(sorted(there)[:8]) or "nothing"
    raise InputError(f"{path}: has no array {' or '.join(names)}; found {found[:200]}")


def _read(archive: zipfile.ZipFile, entry: str, size: int, what: str) -> NDArray[np.generic]:
    with archive.open(entry) as stream:
        dtype, shape, order = _layout(stream, what)
        values = read_exactly(stream, math.prod(shape) * dtype.itemsize, size, what)
    return np.frombuffer(values, dtype).reshape(shape, order=order)


def _layout(stream: IO[bytes], what: str) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
    """Read what an ``.npy`` says of its values: type, shape and order.

    Numpy's own reader evaluates the header as Python; this one knows the one form that is written.
    """
    start = stream.read(8)
    length_bytes = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(stream.read(length_bytes), "little")
    header = stream.read(length) if length <= _LONGEST_HEADER else b""
    match = _HEADER.fullmatch(header)
    if start[:6] != b"\x93NUMPY" or match is None:
        raise InputError(f"{what}: not an array that numpy.savez wrote")
    descr = match["descr"].decode("latin-1")
    if "O" in descr:
        raise InputError(
            f"{what}: holds Python objects, as numpy makes of pictures of several sizes; "
            "bring them to one size and save uint8"
        )
    if not re.fullmatch(r"[<>|=]?([iu][1248]|f[248]|b1)", descr):
        raise InputError(f"{what}: holds values of type {descr!r}, not numbers")
    shape = tuple(int(size) for size in match["shape"].split(b",") if size.strip())
    return np.dtype(descr), shape, "F" if match["fortran"] == b"True" else "C"
