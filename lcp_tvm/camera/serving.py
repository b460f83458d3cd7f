"""Frames through one split on its cluster: the newest, several in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.newest import Newest
from lcp_tvm.camera.result import Result
from lcp_tvm.camera.split import Split
from lcp_tvm.errors import LcpError, WorkerError
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.statistics import Statistics

LOOK_S = 1.0
"""Boards are asked so often what they have done; those that are lost are tried again."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a serving tells what.

    Attributes
    ----------
    failed : a frame could not be computed, and why.
    dropped : a frame was taken, but the serving ended before its answer.
    told : what the boards did since the last time.
    broken : something that should not happen has.
    """

    answered: Callable[[Result], None]
    failed: Callable[[LcpError], None]
    dropped: Callable[[], None]
    told: Callable[[Statistics], None]
    broken: Callable[[BaseException], None]


class Serving:
    """Answers frames by one split, from `open` to `close`."""

    def __init__(
        self, split: Split, cluster: Cluster, frames: Newest[Frame], listener: Listener
    ) -> None:
        self.split = split
        self.cluster = cluster
        self._frames = frames
        self._listener = listener
        self._pool = ThreadPoolExecutor(1, "lcp-tvm prepare")
        loops = [self._answer_frames() for _ in range(cluster.limit)]
        self._tasks = [asyncio.ensure_future(loop) for loop in (*loops, self._look())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    @classmethod
    async def open(cls, split: Split, frames: Newest[Frame], listener: Listener) -> Serving:
        """Open the cluster and begin.

        Raises
        ------
        LcpError
            A board is not there, or the package is not for these boards.
        """
        cluster = split.open()
        await cluster.__aenter__()
        return cls(split, cluster, frames, listener)

    async def close(self) -> None:
        """End the frames under way and leave the boards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=False)
        await self.cluster.__aexit__(None, None, None)

    async def _answer_frames(self) -> None:
        while True:
            frame = await self._frames.take()
            try:
                self._listener.answered(await self._answer(frame))
            except LcpError as error:
                self._listener.failed(error)
            except asyncio.CancelledError:
                self._listener.dropped()
                raise

    async def _answer(self, frame: Frame) -> Result:
        loop, split = asyncio.get_running_loop(), self.split
        x = await loop.run_in_executor(self._pool, split.prepare, frame)
        began_s = time.monotonic()
        outputs = await self.cluster.infer(x)
        ended_s = time.monotonic()
        seen = split.seen(frame)
        answer = split.read(outputs, seen)
        return Result(
            frame=frame,
            split=split.name,
            guesses=answer.guesses,
            detections=answer.detections or (),
            infer_ms=(ended_s - began_s) * 1e3,
            answered_s=ended_s,
            seen=seen,
        )

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(WorkerError):  # of a board that is lost just now others will tell
                self._listener.told(await self.cluster.stats())
            for standing in self.cluster.standings():
                if standing.state == "lost":
                    self.cluster.take_back(standing.name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._listener.broken(error)
