"""A live camera: always the newest frame, through the split that is chosen, to whoever looks on.

source --thread--> newest --prepare, cluster, read--> result --> everybody who is shown it
                   (older ones are dropped)           (what comes late is not)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from lcp_tvm.camera.capture import Capture
from lcp_tvm.camera.controls import Bar, Board, State
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.meter import Meter
from lcp_tvm.camera.newest import Newest
from lcp_tvm.camera.result import Result
from lcp_tvm.camera.serving import Listener, Serving
from lcp_tvm.camera.source import open_source
from lcp_tvm.camera.sources.shot import Source
from lcp_tvm.camera.split import Split
from lcp_tvm.camera.timeline import Timeline
from lcp_tvm.errors import InputError, LcpError
from lcp_tvm.rpc.frames import Standing
from lcp_tvm.rpc.statistics import Statistics

RETRY_S = 2.0
"""Between attempts to open a split again whose boards are all gone."""

ERROR_S = 10.0
"""So long an error is told after it happened."""

Show = Callable[[Result], None]
Watch = Callable[[Statistics], None]


class Pipeline:
    """Answers a camera's frames, and does what a page asks (`Controls`).

    Use it in an ``async with`` statement.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        sources: Sequence[str],
        *,
        show: Show = lambda result: None,
        watch: Watch = lambda statistics: None,
        open_: Callable[[str], Source] = open_source,
    ) -> None:
        """Take what there is to choose from; the first of each is what it begins with.

        Parameters
        ----------
        show : given each result that is newer than all before it, in the event loop.
        watch : told about once a second what the boards did.
        """
        self._splits = {split.name: split for split in splits}
        self._sources = tuple(dict.fromkeys(sources))
        self._show = show
        self._watch = watch
        self._open_source = open_
        self._meter = Meter()
        self._timeline = Timeline()
        self._bars: tuple[Bar, ...] = ()
        self._answered = self._late = self._failed = self._unfinished = 0
        self._shown_s = 0.0
        self._paused = False
        self._left_out: set[str] = set()
        self._error, self._error_s = "", 0.0
        self._switching: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._standings: tuple[Standing, ...] = ()

    async def __aenter__(self) -> Pipeline:
        """Open the first source and the first split.

        Raises
        ------
        LcpError
            It cannot be opened.
        """
        self._choosing = asyncio.Lock()
        self._frames: Newest[Frame] = Newest()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted_frames: int | None = None
        self._split = next(iter(self._splits.values()))
        self._capture = await self._captured(self._sources[0])
        try:
            self._serving: Serving | None = await self._served(self._split)
        except BaseException:
            await asyncio.to_thread(self._capture.close)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the source and leave the boards."""
        self._capture.stop()  # before anything that may be interrupted: the loop ends then
        under_way = [task for task in (self._switching, self._reviving) if task is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._serving is not None:
            await self._serving.close()
        async with self._choosing:
            await asyncio.to_thread(self._capture.close)
        if kind is None and self._end.done():
            self._end.result()

    async def run(self, frames: int | None = None) -> None:
        """Wait until so many frames have been shown; None waits until `stop`."""
        self._wanted_frames = frames
        if frames is not None and self._answered >= frames:
            self.stop()
        await asyncio.shield(self._end)

    def stop(self) -> None:
        """Have `run` return."""
        if not self._end.done():
            self._end.set_result(None)

    def state(self) -> State:
        """Return what there is to see now."""
        now_s = time.monotonic()
        pace = self._meter.pace()
        return State(
            source=self._capture.uri,
            sources=self._sources,
            split=self._split.name,
            splits=tuple(self._splits),
            switching=self._switching is not None,
            paused=self._paused,
            source_lost=self._capture.lost,
            frames_per_s=pace.frames_per_s,
            latency_p50_ms=pace.latency_ms.p50,
            latency_p95_ms=pace.latency_ms.p95,
            infer_p50_ms=pace.infer_ms.p50,
            answered=self._answered,
            dropped=self._frames.dropped + self._unfinished,
            late=self._late,
            failed=self._failed,
            boards=tuple(self._boards(now_s)),
            timeline=self._bars,
            error=self._error if now_s < self._error_s + ERROR_S else "",
        )

    async def switch(self, split: str) -> None:
        """Compute by another split, on the same boards; a failure goes back to the one before.

        Raises
        ------
        InputError
            There is no such split, it cannot be computed, or another is being loaded.
        """
        if split not in self._splits:
            raise InputError(f"{split}: no such split; there are {', '.join(self._splits)}")
        if self._switching is not None:
            raise InputError("another split is being loaded; wait until it is there")
        if split != self._split.name:
            self._switching = asyncio.create_task(self._switch(self._splits[split]))
            self._switching.add_done_callback(self._switched)
            await asyncio.shield(self._switching)  # who asks may stop waiting; the switch goes on

    async def choose_source(self, uri: str) -> None:
        """Take frames from another source; one that cannot be opened leaves the one before.

        Raises
        ------
        InputError
            It is none of the sources, or cannot be opened.
        """
        if uri not in self._sources:
            raise InputError(f"{uri}: no such source; there are {', '.join(self._sources)}")
        async with self._choosing:
            if uri == self._capture.uri:
                return
            before, self._capture = self._capture, await self._captured(uri)
            await asyncio.to_thread(before.close)

    async def pause(self, paused: bool) -> None:
        """Stop computing frames, or go on; those under way are still shown."""
        self._paused = paused

    async def leave_out(self, board: str) -> None:
        """Go on without a board, in other splits too.

        Raises
        ------
        InputError
            There is no such board, or the split cannot do without it.
        """
        self._opened().cluster.leave_out(board)
        self._left_out.add(board)

    async def take_back(self, board: str) -> None:
        """Compute with a board again that was left out.

        Raises
        ------
        InputError
            There is no such board.
        """
        self._opened().cluster.take_back(board)
        self._left_out.discard(board)

    def _opened(self) -> Serving:
        if self._serving is None:
            raise InputError("no split is loaded; wait until one is there")
        return self._serving

    def _boards(self, now_s: float) -> list[Board]:
        if self._serving is not None:
            self._standings = self._serving.cluster.standings()
        elif self._reviving is not None:
            self._standings = tuple(
                Standing(standing.name, "lost", self._error) for standing in self._standings
            )
        boards = []
        for number, standing in enumerate(self._standings):
            load = self._meter.load(standing.name)
            boards.append(
                Board(
                    name=standing.name,
                    kind=self._split.kind(standing.name, number),
                    state=standing.state,
                    reason=standing.reason,
                    seen_s=now_s - (load.told_s or self._opened_s),
                    compute_ms=load.compute_ms,
                    transfer_ms=load.transfer_ms,
                    wait_ms=load.wait_ms,
                    bytes_per_frame=load.frame_bytes,
                    memory_bytes=load.held_bytes,
                )
            )
        return boards

    async def _captured(self, uri: str) -> Capture:
        opening = asyncio.ensure_future(
            asyncio.to_thread(Capture, uri, self._give, open_=self._open_source)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if opening.exception() is None:
                opening.result().close()
            raise

    async def _served(self, split: Split) -> Serving:
        """Open a split, without the boards that are left out."""
        listener = Listener(
            answered=self._take,
            failed=self._fail,
            dropped=self._drop,
            told=self._told,
            broken=self._break,
        )
        serving = await Serving.open(split, self._frames, listener)
        self._opened_s = time.monotonic()
        self._standings = serving.cluster.standings()
        names = {standing.name for standing in self._standings}
        for board in sorted(self._left_out & names):
            try:
                serving.cluster.leave_out(board)
            except InputError as error:
                self._left_out.discard(board)
                self._say(error)
        return serving

    async def _switch(self, wanted: Split) -> None:
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.gather(self._reviving, return_exceptions=True)
            self._reviving = None
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.close()
        try:
            self._serving = await self._served(wanted)
            self._split = wanted
        except LcpError as error:
            try:
                self._serving = await self._served(self._split)
            except LcpError as another:
                self._say(another)
                self._reviving = asyncio.create_task(self._revive(self._split))
            raise InputError(f"{wanted.name} could not be loaded: {error}") from error

    async def _revive(self, split: Split) -> None:
        """Open a split when its boards are there again."""
        while self._serving is None:
            await asyncio.sleep(RETRY_S)
            try:
                self._serving = await self._served(split)
            except LcpError as error:
                self._say(error)

    def _switched(self, task: asyncio.Task[None]) -> None:
        self._switching = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LcpError):
            self._say(error)
        elif error is not None:
            self._break(error)

    def _give(self, frame: Frame) -> None:
        """Take a frame, in the thread of the capture."""
        if not self._paused:
            self._frames.put(frame)

    def _take(self, result: Result) -> None:
        if result.frame.captured_s <= self._shown_s:
            self._late += 1
            return
        self._shown_s = result.frame.captured_s
        self._answered += 1
        self._meter.answered(result)
        self._timeline.answered(result)
        self._show(result)
        if self._answered == self._wanted_frames:
            self.stop()

    def _fail(self, error: LcpError) -> None:
        self._failed += 1
        self._say(error)

    def _drop(self) -> None:
        self._unfinished += 1

    def _told(self, statistics: Statistics) -> None:
        self._meter.told(statistics)
        self._bars = self._timeline.bars(statistics) or self._bars
        self._watch(statistics)

    def _break(self, error: BaseException) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    def _say(self, error: LcpError) -> None:
        self._error, self._error_s = str(error), time.monotonic()
