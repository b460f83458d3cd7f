"""Networks that take pictures, and data sets in every form that training reads."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm
from numpy.typing import NDArray
from PIL import Image

from lcp_tvm.network import Network, Preprocess
from lcp_tvm.train.data import Pictures, read_data
from lcp_tvm.train.idx import Part

Bytes = NDArray[np.uint8]


def network(
    size: tuple[int, int] = (4, 6), channels: str = "L", labels: Sequence[str] = ()
) -> Network:
    """A network of which only the input matters."""
    count = 1 if channels == "L" else 3
    preprocess = Preprocess(size, channels=channels)  # type: ignore[arg-type]
    return Network("n", tvm.IRModule(), "x", (1, count, *size), preprocess, tuple(labels))


def read(
    path: Path, net: Network, *, labelled: bool = True, classes: int = 3, part: Part = "train"
) -> Pictures:
    """Read a data set without progress."""
    return read_data(
        path, net, labelled=labelled, classes=classes, part=part, progress=lambda *_: None
    )


def some_pixels(count: int, *shape: int) -> Bytes:
    """Random pictures, uint8 [count, *shape]."""
    return np.random.default_rng(7).integers(0, 256, (count, *shape), np.uint8)


def idx_bytes(values: Bytes) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def write_idx(folder: Path, prefix: str, pixels: Bytes, classes: Sequence[int] | None) -> Path:
    """Write zipped IDX files as MNIST's; the file of pictures."""
    images = folder / f"{prefix}-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress(idx_bytes(pixels)))
    if classes is not None:
        labels = idx_bytes(np.array(classes, np.uint8))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return images


def write_folders(folder: Path, names: Sequence[str], each: int = 4) -> Path:
    """Write a folder of pictures for each class; those of class k have the grey value k."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for picture in range(each):
            pixels = np.full((4, 6), number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{picture}.png")
    return folder
