"""Everybody who watches sees the newest answer; its picture is encoded once."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from lcp_tvm.answers import Guess
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.result import Result
from lcp_tvm.detections import Detection
from lcp_tvm.facts import facts_of

MAX_SIDE = 1280
"""Larger frames are made smaller before they are encoded."""

JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Caption:
    """What is said of a picture: a result without its pixels.

    Attributes
    ----------
    known : what is in the frame, where the source knows; else null.
    seen : what the network saw of it: left, top, right, bottom as fractions.
    latency_ms : from capture to answer.
    infer_ms : of that, in the cluster.
    """

    number: int
    known: str | None
    split: str
    guesses: tuple[Guess, ...]
    detections: tuple[Detection, ...]
    seen: tuple[float, float, float, float]
    latency_ms: float
    infer_ms: float


def caption_of(result: Result) -> Caption:
    """Return what is said of a result's picture."""
    return Caption(
        number=result.frame.number,
        known=result.frame.label,
        split=result.split,
        guesses=result.guesses,
        detections=result.detections,
        seen=result.seen,
        latency_ms=result.latency_ms,
        infer_ms=result.infer_ms,
    )


def encode_jpeg(frame: Frame) -> bytes:
    """Return a frame as JPEG, no side longer than ``MAX_SIDE``."""
    picture = Image.fromarray(frame.pixels)
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def frame_message(caption: Caption, jpeg: bytes) -> bytes:
    """Return what a page is sent for a frame: u32 n, big-endian | n bytes of JSON | JPEG."""
    header = json.dumps(facts_of(caption), allow_nan=False).encode()
    return struct.pack(">I", len(header)) + header + jpeg


class Watcher:
    """What somebody who watches has yet to be sent: at most one frame and one text.

    Who reads slowly gets the newest when ready for it, and holds up nobody.
    """

    def __init__(self) -> None:
        self._waiting: dict[type, bytes | str] = {}
        self._changed = asyncio.Event()
        self._ended = False

    def offer(self, message: bytes | str) -> None:
        """Put a message in the place of one of its kind that has not been sent."""
        self._waiting[type(message)] = message
        self._changed.set()

    def end(self) -> None:
        """End ``messages``."""
        self._ended = True
        self._changed.set()

    async def messages(self) -> AsyncIterator[bytes | str]:
        """Yield what is to be sent, until the end."""
        while not self._ended:
            await self._changed.wait()
            self._changed.clear()
            for kind in tuple(self._waiting):
                yield self._waiting.pop(kind)


class Hub:
    """Hands results to those who watch; of one event loop.

    Parameters
    ----------
    encode : called in a thread, once for a frame that somebody wants to see.
    """

    def __init__(self, encode: Callable[[Frame], bytes] = encode_jpeg) -> None:
        self.newest: Result | None = None
        self._encode = encode
        self._thread = ThreadPoolExecutor(1, "camera-jpeg")
        self._jpeg: tuple[Result, asyncio.Future[bytes]] | None = None
        self._watchers: set[Watcher] = set()
        self._sending: asyncio.Task[None] | None = None

    @property
    def watching(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def publish(self, result: Result) -> None:
        """Show a result to all who watch; while one is being encoded, only the newest waits."""
        self.newest = result
        if self._watchers and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send())

    def tell(self, text: str) -> None:
        """Send a text to all who watch."""
        for watcher in self._watchers:
            watcher.offer(text)

    def join(self) -> Watcher:
        """Begin to watch, with the newest frame; `leave` ends it."""
        watcher = Watcher()
        self._watchers.add(watcher)
        if self.newest is not None:
            self.publish(self.newest)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Watch no more."""
        self._watchers.discard(watcher)

    async def jpeg(self, result: Result) -> bytes:
        """Return a result's picture as JPEG, encoded once."""
        if self._jpeg is None or self._jpeg[0] is not result:
            loop = asyncio.get_running_loop()
            job = loop.run_in_executor(self._thread, self._encode, result.frame)
            self._jpeg = result, job
        return await asyncio.shield(self._jpeg[1])

    def close(self) -> None:
        """End all watching."""
        for watcher in self._watchers:
            watcher.end()
        if self._sending is not None:
            self._sending.cancel()
        self._thread.shutdown(wait=False)

    async def _send(self) -> None:
        sent = None
        while self._watchers and self.newest is not None and self.newest is not sent:
            sent = self.newest
            message = frame_message(caption_of(sent), await self.jpeg(sent))
            for watcher in self._watchers:
                watcher.offer(message)
