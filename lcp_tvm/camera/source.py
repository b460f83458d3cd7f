"""Sources by their URI.

camera:0                     a camera of this machine (V4L2)
rtsp://HOST/PATH             a stream; http:// too
film.mp4                     a video file, over and over
pictures/                    a folder of pictures, one a second; or one picture
synthetic:                   bundled sample pictures that sway: needs nothing
synthetic:pictures/?size=640x480&fps=30
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

from lcp_tvm.bundled import EXAMPLE, bundled_examples
from lcp_tvm.camera.sources.folder import Folder
from lcp_tvm.camera.sources.opencv import File, Live
from lcp_tvm.camera.sources.shot import Source
from lcp_tvm.camera.sources.synthetic import Synthetic
from lcp_tvm.errors import InputError
from lcp_tvm.pictures import SUFFIXES

SYNTHETIC = "synthetic:"
CAMERA = "camera:"
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")

SAMPLES = EXAMPLE / "pictures"
MAX_SIDE = 4096
PER_S, MAX_PER_S = 30.0, 1000.0


def open_source(uri: str) -> Source:
    """Open what a URI names; it may take its time.

    Raises
    ------
    InputError
        It is no source, is not there, or needs what is not installed.
    """
    if uri.startswith(SYNTHETIC):
        return _synthetic(uri)
    if uri.startswith(CAMERA):
        number = uri.removeprefix(CAMERA)
        if not (number.isascii() and number.isdigit() and len(number) < 4):
            raise InputError(f"{uri}: give the number of a camera, for example camera:0")
        return Live(uri, int(number))
    if uri.startswith(STREAMS):
        return Live(uri, uri)
    path = Path(uri)
    if not path.exists():
        raise InputError(
            f"{uri}: no such file or folder; a source is one of camera:N, rtsp://..., a video "
            "file, a folder of pictures, synthetic:"
        )
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return Folder(path)
    return File(uri)


def _synthetic(uri: str) -> Synthetic:
    folder, _, query = uri.removeprefix(SYNTHETIC).partition("?")
    path = Path(folder) if folder else bundled_examples() / SAMPLES
    if not path.exists():
        raise InputError(f"{uri}: no such folder of pictures")
    size: tuple[int, int] | None = None
    per_s = PER_S
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "size" and (sides := re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", value)):
            size = int(sides[1]), int(sides[2])
        elif key == "fps" and re.fullmatch(r"\d{1,4}(\.\d{1,3})?", value) and float(value) > 0:
            per_s = float(value)
        else:
            raise InputError(f"{uri}: {key}={value} is not understood; size=640x480 and fps=30 are")
    if (size is not None and max(size) > MAX_SIDE) or per_s > MAX_PER_S:
        raise InputError(f"{uri}: sides are at most {MAX_SIDE}, frames a second {MAX_PER_S:.0f}")
    return Synthetic(path, size, per_s)
