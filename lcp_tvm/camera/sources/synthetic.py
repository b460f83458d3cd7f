"""A camera that needs none: sample pictures that sway, some seconds each."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lcp_tvm.camera.sources.shot import Shot, Ticks
from lcp_tvm.pictures import load_rgb, picture_files

SHORTER, LONGEST = 480, 1280
"""Sides of a frame whose size is not given: as the picture's, one to the other."""

SWAY = 0.008
"""Pictures move by so much of a side: networks that know only pictures in the middle bear that."""

HOLD_S = 2.0
SWAY_S = 1.5, 2.1
"""A picture is shown for so long, and goes across and down and back in so long."""


class Synthetic:
    """Pictures of a folder; the name of each is its label, since it is known what is in it."""

    def __init__(self, path: Path, size: tuple[int, int] | None, per_s: float) -> None:
        """Take the pictures that are there now.

        Parameters
        ----------
        size : width and height of a frame, to which pictures are stretched.

        Raises
        ------
        InputError
            There are none.
        """
        self._files = [path] if path.is_file() else picture_files(path)
        self._size = size
        self._per_s = per_s
        self._ticks = Ticks(per_s)
        self._number = 0
        self._picture = lru_cache(maxsize=1)(self._load)

    def read(self) -> Shot:
        """Wait for its time and draw the next frame; InputError where a picture is damaged."""
        self._ticks.wait()
        at_s, self._number = self._number / self._per_s, self._number + 1
        file = self._files[int(at_s / HOLD_S) % len(self._files)]
        picture, (across, down) = self._picture(file)
        height, width = picture.shape[0] - 2 * down, picture.shape[1] - 2 * across
        left, top = (
            round(room * (1 + math.sin(2 * math.pi * at_s / period_s)))
            for room, period_s in zip((across, down), SWAY_S, strict=True)
        )
        return Shot(picture[top : top + height, left : left + width].copy(), file.stem)

    def close(self) -> None:
        pass

    def _load(self, file: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Read a picture with room to sway in: so many pixels to the sides, up and down."""
        picture = load_rgb(file, 2 * LONGEST)
        ratio = min(SHORTER / min(picture.size), LONGEST / max(picture.size))
        width, height = self._size or (round(picture.width * ratio), round(picture.height * ratio))
        across, down = round(SWAY * width), round(SWAY * height)
        pixels = np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
        return np.pad(pixels, ((down, down), (across, across), (0, 0)), "edge"), (across, down)
