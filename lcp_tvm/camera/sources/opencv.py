"""Cameras, streams and video files, by OpenCV."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

import numpy as np

from lcp_tvm.camera.sources.shot import Shot, Ticks
from lcp_tvm.errors import InputError

TIMEOUT_MS = 5000
"""A stream that says nothing for so long is gone."""

PER_S = 30.0
"""Of a file that does not say how many frames it has a second."""


class Live:
    """A camera or a stream: pictures come when they come."""

    def __init__(self, name: str, what: int | str) -> None:
        """Open it.

        Parameters
        ----------
        name : for messages.
        what : the number of a camera, or the address of a stream.

        Raises
        ------
        InputError
            It is not there, or OpenCV is not installed.
        """
        cv2 = _opencv(name)
        self._name = name
        if isinstance(what, int):
            api = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
            settings = {cv2.CAP_PROP_BUFFERSIZE: 1}
        else:
            api = cv2.CAP_FFMPEG
            settings = {
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC: TIMEOUT_MS,
            }
        self._video = _Video(cv2, what, api, settings)
        if not self._video.is_open:
            raise InputError(f"{name}: it cannot be opened; see whether it is there and free")

    def read(self) -> Shot:
        """Wait for the next picture; InputError when the camera is gone."""
        shot = self._video.read()
        if shot is None:
            raise InputError(f"{self._name}: no pictures come from it any more")
        return shot

    def close(self) -> None:
        self._video.close()


class File:
    """A video file at its own speed, over and over."""

    def __init__(self, path: str) -> None:
        """Open it.

        Raises
        ------
        InputError
            It is no video, or OpenCV is not installed.
        """
        self._path = path
        self._cv2 = _opencv(path)
        self._video = self._open()
        self._ticks = Ticks(self._video.per_s or PER_S)

    def read(self) -> Shot:
        """Wait for the next picture; InputError when the file cannot be read any more."""
        self._ticks.wait()
        shot = self._video.read()
        if shot is None:  # its end
            self._video.close()
            self._video = self._open()
            shot = self._video.read()
        if shot is None:
            raise InputError(f"{self._path}: no pictures in it")
        return shot

    def close(self) -> None:
        self._video.close()

    def _open(self) -> _Video:
        video = _Video(self._cv2, self._path, self._cv2.CAP_ANY, {})
        if not video.is_open:
            raise InputError(f"{self._path}: not a video that OpenCV reads")
        return video


class _Video:
    """``cv2.VideoCapture``, with RGB."""

    def __init__(
        self, cv2: ModuleType, what: int | str, api: int, settings: Mapping[int, int]
    ) -> None:
        self._cv2 = cv2
        self._capture = cv2.VideoCapture(what, api, [n for pair in settings.items() for n in pair])

    @property
    def is_open(self) -> bool:
        return bool(self._capture.isOpened())

    @property
    def per_s(self) -> float:
        """Frames a second; 0 where it does not say."""
        per_s = float(self._capture.get(self._cv2.CAP_PROP_FPS))
        return per_s if np.isfinite(per_s) and per_s > 0 else 0.0

    def read(self) -> Shot | None:
        found, picture = self._capture.read()
        return Shot(self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2RGB)) if found else None

    def close(self) -> None:
        self._capture.release()


def _opencv(name: str) -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise InputError(f"{name}: it needs OpenCV; pip install 'lcp-tvm[camera]'") from error
    # What goes wrong is told by our errors.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
