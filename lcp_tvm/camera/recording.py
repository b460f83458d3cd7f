"""Answers as a film and as a log.

Both take results as they are shown. A film is written by a thread of its own; where that is too
slow, pictures are left out, and the film keeps its time.
"""

from __future__ import annotations

import json
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lcp_tvm.camera.hub import caption_of
from lcp_tvm.camera.result import Result
from lcp_tvm.errors import InputError
from lcp_tvm.facts import facts_of

PER_S = 30
"""Pictures of a film a second; an answer stays until the next."""

LONGEST_STILL_S = 2.0
"""A longer pause is cut to this."""

WAITING = 16
"""Results that may wait to be written."""

CODEC = "mp4v"
INK, SHADE = (255, 214, 10), (0, 0, 0)


def draw(result: Result) -> NDArray[np.uint8]:
    """Return a frame, uint8 [height, width, 3] RGB, with its boxes or its likeliest class."""
    picture = Image.fromarray(result.frame.pixels)
    painter = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(12, picture.height // 24))
    sides = np.array([picture.width, picture.height] * 2)
    for found in result.detections:
        left, top, right, bottom = (np.array(found.box) * sides).tolist()
        painter.rectangle((left, top, right, bottom), outline=INK, width=2)
        _write(painter, (left, top), f"{found.label} {found.score:.0%}", font)
    if result.guesses:
        best = result.guesses[0]
        _write(painter, (8, 8), f"{best.label} {best.probability:.0%}", font)
    return np.array(picture)


def _write(painter: ImageDraw.ImageDraw, place: tuple[float, float], text: str, font: Any) -> None:
    painter.rectangle(painter.textbbox(place, text, font), fill=SHADE)
    painter.text(place, text, fill=INK, font=font)


class Film:
    """An mp4 for the length of a ``with`` statement."""

    def __init__(self, path: Path) -> None:
        """Take where to write.

        Raises
        ------
        InputError
            Nothing can be written there, or OpenCV is not installed.
        """
        if path.suffix.lower() != ".mp4":
            raise InputError(f"{path}: a film's name ends in .mp4")
        if not path.absolute().parent.is_dir():
            raise InputError(f"{path}: its folder does not exist; make it first")
        try:
            import cv2
        except ImportError as error:
            raise InputError(f"{path}: it needs OpenCV; pip install 'lcp-tvm[camera]'") from error
        self._cv2: ModuleType = cv2
        self._path = path
        self._waiting: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="lcp-tvm film")
        self._failure = ""

    def take(self, result: Result) -> None:
        """Take a result, unless too many wait already."""
        if self._waiting.qsize() < WAITING:
            self._waiting.put(result)

    def __enter__(self) -> Film:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, and finish the film.

        Raises
        ------
        InputError
            It could not be written.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._failure and kind is None:
            raise InputError(self._failure)

    def _write(self) -> None:
        result = self._waiting.get()
        if result is None:
            return
        height, width, _ = result.frame.pixels.shape
        codec = self._cv2.VideoWriter.fourcc(*CODEC)
        film = self._cv2.VideoWriter(str(self._path), codec, PER_S, (width, height))
        if not film.isOpened():
            self._failure = f"{self._path}: cannot be written; see whether there is room"
            return
        before_s, due = result.answered_s, 1.0
        while result is not None:
            pixels = self._cv2.cvtColor(draw(result), self._cv2.COLOR_RGB2BGR)
            if pixels.shape != (height, width, 3):
                pixels = self._cv2.resize(pixels, (width, height))
            due += min(result.answered_s - before_s, LONGEST_STILL_S) * PER_S
            before_s = result.answered_s
            while due >= 1.0:
                film.write(pixels)
                due -= 1.0
            result = self._waiting.get()
        film.release()


class Log:
    """JSON, a line a result, for the length of a ``with`` statement."""

    def __init__(self, path: Path) -> None:
        """Open it, after what it has already.

        Raises
        ------
        InputError
            It cannot be written.
        """
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error

    def take(self, result: Result) -> None:
        """Write a result; InputError where the disk is full, say."""
        row = {"time": datetime.now(UTC).isoformat(), **facts_of(caption_of(result))}
        try:
            self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from error

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
