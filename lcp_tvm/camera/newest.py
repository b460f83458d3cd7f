"""A place for one thing, the newest: what nobody took in time is dropped and counted."""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Put in by any thread, taken out in the event loop in which it was made.

    Attributes
    ----------
    dropped : things that a newer one took the place of.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._there = asyncio.Event()

    def put(self, item: T) -> None:
        """Put something in the place of what is there."""
        with self._lock:
            self.dropped += self._item is not None
            self._item = item
        self._loop.call_soon_threadsafe(self._there.set)

    async def take(self) -> T:
        """Wait for something and take it; of several who wait one gets it."""
        while True:
            await self._there.wait()
            with self._lock:
                item, self._item = self._item, None
            self._there.clear()
            if item is not None:
                return item
