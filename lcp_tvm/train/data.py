"""Pictures to train with, from folders, ``.npz`` and IDX files; whatever is wrong is said here."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lcp_tvm.errors import InputError
from lcp_tvm.network import Network
from lcp_tvm.pictures import SUFFIXES, load_pixels, picture_pixels
from lcp_tvm.preprocess import CHANNEL_COUNT
from lcp_tvm.train.idx import Part, images_file, labels_file, read_idx
from lcp_tvm.train.inflate import MAX_BYTES
from lcp_tvm.train.npz import read_npz

MIN_PICTURES = 10
MIN_PER_CLASS = 2  # one to train with, one to test with

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures of a network's size and channel order, in memory.

    Attributes
    ----------
    pixels : uint8 [N, C, H, W].
    classes : int64 [N], None where no label was read.
    """

    pixels: NDArray[np.uint8]
    classes: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: NDArray[np.int64]) -> Pictures:
        """Return the pictures of some rows."""
        return Pictures(self.pixels[rows], None if self.classes is None else self.classes[rows])


def read_data(
    path: Path,
    network: Network,
    *,
    labelled: bool,
    classes: int,
    progress: Progress,
    part: Part = "train",
) -> Pictures:
    """Read and check all pictures of a data set.

    Parameters
    ----------
    path : a folder of pictures, an ``.npz``, or IDX files; docs/training.md says how they look.
    labelled : whether labels are read; without, nothing looks at them.
    classes : how many the network tells apart.
    part : which of a data set that has both, IDX files or ``x_train`` and ``x_test``.

    Raises
    ------
    InputError
        Nothing there, a picture that does not decode, labels that are missing or out of range,
        one class only, fewer than ``MIN_PICTURES`` or ``MIN_PER_CLASS``; the message names the
        file or row.
    """
    _check_input(path, network)
    if not path.exists():
        raise InputError(f"{path}: no such folder or file")
    count = classes if labelled else None
    images = images_file(path, part)
    if images is not None:
        data = _read_idx(images, network, count, progress)
    elif path.is_dir():
        data = _read_folder(path, network, count, progress)
    elif path.suffix == ".npz":
        data = _read_npz(path, network, count, part, progress)
    else:
        raise InputError(
            f"{path}: neither a folder of pictures nor an .npz nor *-images-idx3-ubyte[.gz]"
        )
    _check_enough(data, path, network)
    return data


def hold_out(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Divide pictures at random into those to train with and a share to test with.

    Of every class the same share is held out, and one picture at least.

    Parameters
    ----------
    share : between 0 and 1.

    Returns
    -------
    Those to train with and those held out, each in their order in ``pictures``.
    """
    random = np.random.default_rng(seed)
    classes = np.zeros(len(pictures), np.int64) if pictures.classes is None else pictures.classes
    held = np.zeros(len(pictures), bool)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held[random.permutation(rows)[:count]] = True
    return pictures.take(np.flatnonzero(~held)), pictures.take(np.flatnonzero(held))


def _check_input(path: Path, network: Network) -> None:
    preprocess = network.preprocess
    made = (CHANNEL_COUNT[preprocess.channels], *preprocess.size)
    if made != tuple(network.input_shape[1:]):
        raise InputError(
            f"{path}: preprocessing makes pictures {list(made)}, the network takes "
            f"{list(network.input_shape[1:])}; change size or channels of the preprocessing"
        )


def _read_idx(images: Path, network: Network, classes: int | None, progress: Progress) -> Pictures:
    """Read pictures, and their labels where it is told how many classes there are."""
    arrays, labels = read_idx(images, 3), None
    if classes is not None:
        file = labels_file(images)
        labels = read_idx(file, 1)
        _check_labels(labels, len(arrays), classes, str(file))
    return _from_arrays(arrays, labels, network, str(images), progress)


def _read_npz(
    path: Path, network: Network, classes: int | None, part: Part, progress: Progress
) -> Pictures:
    wanted = [("pictures", "images", "x", f"x_{part}")]
    if classes is not None:
        wanted.append(("labels", "classes", "y", f"y_{part}"))
    arrays, *rest = read_npz(path, wanted)
    labels = rest[0] if rest else None
    if arrays.dtype != np.uint8:
        raise InputError(
            f"{path}: pictures are {arrays.dtype}; give uint8 0..255 as a camera does, the "
            "network's own preprocessing is applied here"
        )
    if arrays.ndim not in (3, 4) or (arrays.ndim == 4 and arrays.shape[3] not in (1, 3)):
        raise InputError(
            f"{path}: pictures are {list(arrays.shape)}; expected [N, H, W] or [N, H, W, C] "
            "with C = 1 or 3 (red, green, blue)"
        )
    if classes is not None and labels is not None:
        _check_labels(labels, len(arrays), classes, f"{path}: labels")
    return _from_arrays(arrays, labels, network, str(path), progress)


def _check_labels(values: NDArray[Any], pictures: int, classes: int, where: str) -> None:
    if values.dtype.kind not in "iu" or values.ndim != 1:
        found = f"{values.dtype} {list(values.shape)}"
        raise InputError(f"{where}: found {found}; expected integers [N], the number of each class")
    if len(values) != pictures:
        raise InputError(f"{where}: {len(values)} labels for {pictures} pictures")
    wrong = np.flatnonzero((values < 0) | (values >= classes))
    if len(wrong):
        raise InputError(f"{where}: row {wrong[0]} is {values[wrong[0]]}; {_range(classes)}")


def _range(classes: int) -> str:
    return f"the network tells {classes} classes apart, 0 to {classes - 1}"


def _from_arrays(
    arrays: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
    network: Network,
    where: str,
    progress: Progress,
) -> Pictures:
    """Bring uint8 [N, H, W] or [N, H, W, C] to the network's size and channels."""
    if 0 in arrays.shape[1:]:
        raise InputError(f"{where}: pictures without a pixel: {list(arrays.shape)}")
    if arrays.ndim == 4 and arrays.shape[3] == 1:
        arrays = arrays[..., 0]
    pixels = _room(len(arrays), network, where)
    for row, array in enumerate(arrays):
        _tell(progress, row, len(arrays))
        pixels[row] = picture_pixels(Image.fromarray(array), network.preprocess)
    return Pictures(pixels, None if labels is None else labels.astype(np.int64))


def _read_folder(path: Path, network: Network, classes: int | None, progress: Progress) -> Pictures:
    if classes is not None:
        return _read_class_folders(path, network, classes, progress)
    return Pictures(_read_files(_pictures_in(path), network, path, progress), None)


def _read_class_folders(path: Path, network: Network, classes: int, progress: Progress) -> Pictures:
    folders = sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not folders:
        raise InputError(
            f"{path}: no folder for each class in it; labels come from folders, and without "
            "--labels none are needed"
        )
    numbers = _class_numbers([folder.name for folder in folders], network.labels, classes, path)
    files: list[Path] = []
    labels: list[int] = []
    for folder, number in zip(folders, numbers, strict=True):
        found = _pictures_in(folder)
        files += found
        labels += [number] * len(found)
    return Pictures(_read_files(files, network, path, progress), np.array(labels, np.int64))


def _class_numbers(
    names: Sequence[str], labels: Sequence[str], classes: int, path: Path
) -> list[int]:
    """Return the class that each folder's name stands for."""
    if not set(names).isdisjoint(labels):
        for name in names:
            if name not in labels:
                known = ", ".join(labels)
                raise InputError(f"{path / name}: no label of the network; those are {known}")
        return [list(labels).index(name) for name in names]
    if all(re.fullmatch(r"[0-9]{1,9}", name) for name in names):
        for name in names:
            if int(name) >= classes:
                raise InputError(f"{path / name}: no class of the network; {_range(classes)}")
        return [int(name) for name in names]
    if len(names) != classes:
        raise InputError(
            f"{path}: has folders of {len(names)} classes, the network tells {classes} apart; "
            f"name them after its labels, or 0 to {classes - 1}"
        )
    return list(range(classes))


def _pictures_in(folder: Path) -> list[Path]:
    walk = os.walk(folder, onerror=_refuse)
    files = (Path(at, name) for at, _, names in walk for name in names if name[0] != ".")
    found = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder}: no pictures in this folder ({', '.join(SUFFIXES)})")
    return found


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _read_files(
    files: Sequence[Path], network: Network, path: Path, progress: Progress
) -> NDArray[np.uint8]:
    pixels = _room(len(files), network, str(path))
    for row, file in enumerate(files):
        _tell(progress, row, len(files))
        pixels[row] = load_pixels(file, network.preprocess)[0]
    return pixels


def _room(count: int, network: Network, where: str) -> NDArray[np.uint8]:
    shape = (count, *network.input_shape[1:])
    if math.prod(shape) > MAX_BYTES:
        raise InputError(
            f"{where}: {count} pictures of {list(shape[1:])} take "
            f"{math.prod(shape) / (1 << 30):.1f} GiB, at most {MAX_BYTES >> 30} are read; "
            "give fewer pictures"
        )
    return np.empty(shape, np.uint8)


def _tell(progress: Progress, row: int, count: int) -> None:
    if row % 256 == 0:
        progress(f"reading {count} pictures", row / count)


def _check_enough(data: Pictures, path: Path, network: Network) -> None:
    """Refuse what nothing can be learned from."""
    if len(data) < MIN_PICTURES:
        raise InputError(f"{path}: {len(data)} pictures; at least {MIN_PICTURES} are needed")
    if data.classes is None:
        return
    present, counts = np.unique(data.classes, return_counts=True)
    names = dict(enumerate(network.labels))
    if len(present) == 1:
        only = names.get(int(present[0]), present[0])
        raise InputError(
            f"{path}: all {len(data)} pictures are of class {only}; give pictures of every class"
        )
    for one, count in zip(present, counts, strict=True):
        if count < MIN_PER_CLASS:
            raise InputError(
                f"{path}: {count} picture of class {names.get(int(one), one)}; at least "
                f"{MIN_PER_CLASS} of each are needed"
            )
