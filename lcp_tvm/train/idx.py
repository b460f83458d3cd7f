"""IDX files, as MNIST and its kin come: a header of sizes, then bytes; gzipped or not.

    u16 0 | u8 type | u8 dimensions | u32 size of each, most significant byte first | values

http://yann.lecun.com/exdb/mnist has the format; only unsigned bytes (type 8) are read.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.errors import InputError
from lcp_tvm.train.inflate import read_exactly

_UNSIGNED_BYTES = 8
_IMAGES, _LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"
_PREFIXES = {"train": "train", "test": "t10k"}

Part = Literal["train", "test"]


def images_file(path: Path, part: Part) -> Path | None:
    """Return the file with a data set's pictures, None if ``path`` is no IDX data set.

    Parameters
    ----------
    path : a file ``*-images-idx3-ubyte[.gz]``, or a folder of such files.
    part : of a folder, "train" is ``train-*`` and "test" is ``t10k-*``.
    """
    if path.is_dir():
        both = (path / f"{_PREFIXES[part]}{_IMAGES}{suffix}" for suffix in ("", ".gz"))
        return next((file for file in both if file.is_file()), None)
    return path if path.name.removesuffix(".gz").endswith(_IMAGES) else None


def labels_file(images: Path) -> Path:
    """Return the file of labels beside a file of pictures, zipped alike or not.

    Raises
    ------
    InputError
        There is none.
    """
    plain = images.name.removesuffix(".gz").removesuffix(_IMAGES) + _LABELS
    both = [images.with_name(plain + suffix) for suffix in ("", ".gz")]
    for file in both:
        if file.is_file():
            return file
    raise InputError(f"{images}: no labels beside it; {both[0].name}[.gz] is missing")


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Raises
    ------
    InputError
        It cannot be read, is not IDX, has another number of dimensions, or does not hold exactly
        what its header says. No more memory is taken than the file's own values fill.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as unzipped:
            stream = unzipped if path.suffix == ".gz" else raw
            shape = _shape(stream.read(4 + 4 * dimensions), dimensions, path)
            values = read_exactly(stream, math.prod(shape), size, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not an IDX file that can be read ({error})") from error
    return np.frombuffer(values, np.uint8).reshape(shape)


def _shape(header: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    if header[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise InputError(
            f"{path}: begins with {header[:4].hex() or 'nothing'}; an IDX file of unsigned bytes "
            f"with {dimensions} dimensions begins with 0000{_UNSIGNED_BYTES:02x}{dimensions:02x}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path}: ends within its header")
    return struct.unpack(f">{dimensions}I", header[4:])
