"""A folder of pictures, or one picture, over and over."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np

from lcp_tvm.camera.sources.shot import Shot, Ticks
from lcp_tvm.pictures import load_rgb, picture_files

PER_S = 1.0
LONGEST = 1280
"""Larger pictures are made smaller: frames are shown, and kept while they are computed."""


class Folder:
    """Pictures in the order of their names, each with its name as its label."""

    def __init__(self, path: Path, per_s: float = PER_S) -> None:
        """Take the pictures that are there now.

        Raises
        ------
        InputError
            There are none.
        """
        self._files = cycle([path] if path.is_file() else picture_files(path))
        self._ticks = Ticks(per_s)

    def read(self) -> Shot:
        """Read the next picture; InputError where it cannot be."""
        self._ticks.wait()
        file = next(self._files)
        return Shot(np.array(load_rgb(file, LONGEST)), file.stem)

    def close(self) -> None:
        pass
