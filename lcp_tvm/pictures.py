"""Pictures and calibration data from files, as the network wants them."""

from __future__ import annotations

import tomllib
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lcp_tvm.errors import InputError, LcpError
from lcp_tvm.network import Preprocess
from lcp_tvm.preprocess import CHANNEL_COUNT, preprocess_from

MAX_PIXELS = 100_000_000  # a picture of 100 megapixels takes 300 MB once decompressed
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
CROP_SHARE = 0.875  # of the shorter side: 224 of 256, as ImageNet classifiers are tested

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def load_input(path: Path | str, preprocess: Preprocess, dtype: str) -> Array | Pixels:
    """Read a picture file as a plan's input of a type: uint8 takes pixels, float32 values.

    Raises
    ------
    InputError : as `load_picture`.
    """
    return picture_input(open_picture(path, preprocess), preprocess, dtype)


def load_picture(path: Path | str, preprocess: Preprocess) -> Array:
    """Read a picture file as one input of the network.

    Parameters
    ----------
    path : a file that Pillow reads; its EXIF orientation is applied, transparency dropped.
    preprocess : size, channel order and normalisation.

    Returns
    -------
    float32 [1, C, H, W], ``(value * scale - mean) / std`` per channel.

    Raises
    ------
    InputError : no such file, not a picture, or more than ``MAX_PIXELS`` pixels.
    """
    return _normalised(load_pixels(path, preprocess), preprocess)


def load_pixels(path: Path | str, preprocess: Preprocess) -> Pixels:
    """Read a picture file as uint8 [1, C, H, W], of the size and channels of the network.

    Raises
    ------
    InputError : as `load_picture`.
    """
    return picture_pixels(open_picture(path, preprocess), preprocess)[None]


def picture_input(picture: Image.Image, preprocess: Preprocess, dtype: str) -> Array | Pixels:
    """Return a decoded picture as a plan's input of a type, as `load_input` does."""
    pixels = picture_pixels(picture, preprocess)[None]
    return pixels if dtype == "uint8" else _normalised(pixels, preprocess)


def picture_pixels(picture: Image.Image, preprocess: Preprocess) -> Pixels:
    """Return a decoded picture as uint8 [C, H, W], of the size and channels of the network."""
    picture = _resize(picture.convert(_mode(preprocess)), preprocess)
    values = np.asarray(picture, np.uint8)  # [H, W] or [H, W, 3]
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if preprocess.channels == "BGR":
        values = values[::-1]
    return np.ascontiguousarray(values)


def _normalised(pixels: Pixels, preprocess: Preprocess) -> Array:
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return (pixels.astype(np.float32) * np.float32(preprocess.scale) - mean) / std


def _mode(preprocess: Preprocess) -> str:
    return "L" if preprocess.channels == "L" else "RGB"


def open_picture(path: Path | str, preprocess: Preprocess) -> Image.Image:
    """Decode a picture file in the network's colours, the right way up.

    Raises
    ------
    InputError : as `load_picture`.
    """
    return _decode(Path(path), _mode(preprocess))


def load_rgb(path: Path | str, longest: int) -> Image.Image:
    """Read a picture file as RGB, made smaller where a side is longer than ``longest``.

    Raises
    ------
    InputError : as `load_picture`.
    """
    picture = _decode(Path(path), "RGB")
    picture.thumbnail((longest, longest))
    return picture


def picture_files(folder: Path) -> list[Path]:
    """Return the files of a folder that have a picture's suffix, in order of name.

    Raises
    ------
    InputError : there are none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no pictures in this folder ({', '.join(SUFFIXES)})")
    return files


def _decode(path: Path, mode: str) -> Image.Image:
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such picture'}")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns where our bound already refuses
            picture: Image.Image = Image.open(file)
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(
                    f"{path}: {picture.width}x{picture.height} pixels, at most {MAX_PIXELS} "
                    f"are read; make the picture smaller"
                )
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith("I;16") or picture.mode == "I":
                # Pillow would clip 16-bit grey to 255 instead of scaling it.
                grey = np.asarray(picture, np.float32) / 257
                picture = Image.fromarray(np.clip(grey.round(), 0, 255).astype(np.uint8))
            return picture.convert(mode)
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too many pixels, at most {MAX_PIXELS} are read") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture; PNG, JPEG and the like can be read") from error
    except LcpError:
        raise
    except Exception as error:  # whatever Pillow's readers trip over: struct.error, KeyError, ...
        raise InputError(f"{path}: a damaged picture ({error})") from error


def seen_box(width: int, height: int, preprocess: Preprocess) -> tuple[float, float, float, float]:
    """Return what the network sees of a picture: left, top, right, bottom as fractions of it.

    A padded picture is seen with its border, so right or bottom are beyond 1.
    """
    scaled, (left, top, right, bottom) = _fit(width, height, preprocess)
    return left / scaled[0], top / scaled[1], right / scaled[0], bottom / scaled[1]


def _fit(
    width: int, height: int, preprocess: Preprocess
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return the size that a picture is brought to, and the box of it that is taken."""
    wanted_height, wanted_width = preprocess.size
    whole = (0, 0, wanted_width, wanted_height)
    if preprocess.resize == "squash":
        return (wanted_width, wanted_height), whole
    if preprocess.resize == "pad":
        ratio = min(wanted_width / width, wanted_height / height)
        return (max(1, round(width * ratio)), max(1, round(height * ratio))), whole
    ratio = round(min(preprocess.size) / CROP_SHARE) / min(width, height)
    # A wide target may need more than the shorter side's ratio gives.
    ratio = max(ratio, wanted_height / height, wanted_width / width)
    scaled = max(wanted_width, round(width * ratio)), max(wanted_height, round(height * ratio))
    left, top = (scaled[0] - wanted_width) // 2, (scaled[1] - wanted_height) // 2
    return scaled, (left, top, left + wanted_width, top + wanted_height)


def _resize(picture: Image.Image, preprocess: Preprocess) -> Image.Image:
    scaled, box = _fit(*picture.size, preprocess)
    if picture.size != scaled:
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    return picture.crop(box)  # what lies beyond the picture is black


def load_calibration(
    path: Path | str, preprocess: Preprocess, input_shape: tuple[int, ...]
) -> Array:
    """Read calibration inputs from a folder of pictures or an ``.npz`` with one array.

    Parameters
    ----------
    path : a folder, of which all files with a picture's suffix are read in order of name; or an
        ``.npz`` file whose only array is float32 [N, C, H, W], already preprocessed.
    input_shape : [1, C, H, W] of the network.

    Returns
    -------
    float32 [N, C, H, W], N > 0.

    Raises
    ------
    InputError : nothing there, or values of another shape or type, or not finite.
    """
    path = Path(path)
    if path.is_dir():
        files = picture_files(path)
        found = (1, CHANNEL_COUNT[preprocess.channels], *preprocess.size)
        if found != tuple(input_shape):
            raise InputError(
                f"{path}: preprocessing makes pictures {_text(found)}, the network takes "
                f"{_text(input_shape)}; change size or channels of the preprocessing"
            )
        return np.concatenate([load_picture(file, preprocess) for file in files])
    if not path.exists():
        raise InputError(f"{path}: no such folder or file")
    return _check(_read_npz(path), path, input_shape)


def _read_npz(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: not an .npz; write it with numpy.savez")
            if len(archive.files) != 1:
                names = ", ".join(archive.files) or "none"
                raise InputError(f"{path}: found arrays {names}, expected exactly one")
            return np.asarray(archive[archive.files[0]])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not an .npz that can be read ({error})") from error


def _check(array: NDArray[np.generic], path: Path, input_shape: tuple[int, ...]) -> Array:
    expected = f"float32 [N, {', '.join(map(str, input_shape[1:]))}]"
    found = f"{array.dtype} {_text(array.shape)}"
    if array.dtype not in (np.float32, np.float64):
        raise InputError(f"{path}: found {found}, expected {expected} after preprocessing")
    if array.ndim != len(input_shape) or array.shape[1:] != tuple(input_shape[1:]):
        raise InputError(f"{path}: found {found}, expected {expected}")
    if not len(array):
        raise InputError(f"{path}: found {found}, no input at all; give some dozens")
    values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))[0])
        raise InputError(f"{path}: input {bad} has values that are not finite")
    return values


def _text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def read_preprocess(path: Path | str) -> Preprocess:
    """Read a TOML file with the keys of ``Preprocess``; InputError names a key that is wrong."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error})") from error
    return preprocess_from(values, str(path))


def read_labels(path: Path | str) -> tuple[str, ...]:
    """Read class labels, one a line, line 1 for class 0; empty lines at the end do not count."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error})") from error
    if not lines:
        raise InputError(f"{path}: no labels in it; write one a line")
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, start=1):
        if not label:
            raise InputError(f"{path}: line {number} is empty; each class needs a label")
    return labels
