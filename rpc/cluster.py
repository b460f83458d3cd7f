"""Plans on workers, for asyncio.

    async with Cluster(package, workers) as cluster:
        (scores,) = await cluster.infer(x)

Frames go to the client's node in the thread of the event loop. A thread of the cluster's waits for
what comes back and hands it to the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from lcp_tvm.errors import InputError, LcpError
from lcp_tvm.rpc.frames import Standing
from lcp_tvm.rpc.front import TURN_MS, Front
from lcp_tvm.rpc.inputs import Array, Input, Kept, inputs_of
from lcp_tvm.rpc.run import Job, Outputs, Run
from lcp_tvm.rpc.statistics import Statistics

__all__ = ["Cluster", "Kept"]


class Cluster(Front):
    """A package on workers. Use it in an ``async with`` statement."""

    async def __aenter__(self) -> Cluster:
        """Open all nodes.

        Raises
        ------
        WorkerError
            A worker is not there, is busy, of another version, or refuses the plan.
        PackageError, ConfigError
            The package is damaged, or is not for these workers.
        """
        self._loop = asyncio.get_running_loop()
        self._jobs = ThreadPoolExecutor(thread_name_prefix="lcp-tvm control")
        self._under_way: set[asyncio.Future[None]] = set()
        opening = self._loop.run_in_executor(self._jobs, self._open, self._start)
        try:
            self._run = await asyncio.shield(opening)
        except BaseException:
            self._abort()
            await asyncio.wait([opening])
            if opening.exception() is None:
                self._crew.__exit__(None, None, None)
            self._jobs.shutdown()
            raise
        self._closing = threading.Event()
        self._waiter = threading.Thread(target=self._wait, args=(self._run,), name="lcp-tvm events")
        self._waiter.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all frames and leave the workers, which are free again."""
        run, self._run = self._opened(), None
        run.close()
        self._closing.set()
        if self._under_way:
            self._abort()
        await asyncio.shield(asyncio.ensure_future(self._leave()))

    async def infer(
        self, x: Input, *, source: int | None = None, deadline_s: float | None = None
    ) -> Outputs:
        """Compute a frame.

        Parameters
        ----------
        x : must not change until the frame has ended.
        source : the device that it comes from; None takes those of the settings in turn.
        deadline_s : in place of the settings'.

        Returns
        -------
        An array per output of the plan.

        Raises
        ------
        InputError
            The inputs are not the plan's, or there is no such source.
        WorkerError
            It could not be computed in time; the name of the device that is to blame begins the
            message where there is one.
        """
        run = self._opened()
        timeout_s = self.settings.deadline_s if deadline_s is None else deadline_s
        answer: asyncio.Future[Outputs] = self._loop.create_future()

        def settle(outcome: Outputs | LcpError) -> None:
            if answer.done():
                return
            if isinstance(outcome, LcpError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        frame = run.submit(inputs_of(self.plan, x), source, timeout_s, settle)
        timer = self._loop.call_later(timeout_s, run.expire, frame)
        try:
            return await answer
        finally:
            timer.cancel()
            run.cancel(frame)

    async def stream(
        self,
        inputs: Iterable[Input] | AsyncIterable[Input],
        *,
        source: int | None = None,
        deadline_s: float | None = None,
    ) -> AsyncIterator[Outputs]:
        """Compute frames, several at a time, and yield what becomes of them in their order.

        The first that fails ends the stream with its error; see `infer`.
        """
        run = self._opened()
        frames: deque[asyncio.Task[Outputs]] = deque()
        try:
            async for x in _each(inputs):
                frame = self.infer(x, source=source, deadline_s=deadline_s)
                frames.append(asyncio.ensure_future(frame))
                if len(frames) >= run.limit:
                    yield await frames.popleft()
            while frames:
                yield await frames.popleft()
        finally:
            for task in frames:
                task.cancel()
            await asyncio.gather(*frames, return_exceptions=True)

    async def keep(self, name: str, arrays: Sequence[Array], *, source: int) -> None:
        """Give a source inputs that frames may begin with, as from a camera of its own."""
        run = self._opened()
        await self._loop.run_in_executor(self._jobs, run.keep, name, arrays, source)

    @property
    def limit(self) -> int:
        """Frames that run at a time; others wait."""
        return self._opened().limit

    def standings(self) -> tuple[Standing, ...]:
        """Return how it stands with all nodes."""
        return self._opened().standings()

    def leave_out(self, name: str) -> None:
        """Do without a node until it is taken back; frames go on where the plan has others.

        Raises
        ------
        InputError
            There is no node of this name, or the plan cannot do without it.
        """
        self._opened().leave_out(self._number(name))

    def take_back(self, name: str) -> None:
        """Get a node back that was left out, or that is lost.

        Raises
        ------
        InputError
            There is no node of this name.
        """
        self._opened().take_back(self._number(name))

    async def stats(self) -> Statistics:
        """Ask all nodes what they have done since the last time."""
        run = self._opened()
        return await self._loop.run_in_executor(self._jobs, run.statistics)

    def _number(self, name: str) -> int:
        names = [standing.name for standing in self.standings()]
        if name not in names:
            raise InputError(f"{name}: no such board; there are {', '.join(names)}")
        return names.index(name)

    def _start(self, job: Job) -> None:
        future = asyncio.ensure_future(self._work(job))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    async def _work(self, job: Job) -> None:
        stimulus = await self._loop.run_in_executor(self._jobs, job)
        if self._run is not None:
            self._run.apply(stimulus)

    def _wait(self, run: Run) -> None:
        """Hand the node's events to the loop, until the cluster is closed."""
        while not self._closing.is_set():
            event = run.next(TURN_MS)
            if len(event) > 0:
                self._loop.call_soon_threadsafe(self._handle, run, event)

    def _handle(self, run: Run, event: Sequence[object]) -> None:
        if self._run is run:
            run.handle(event)

    async def _leave(self) -> None:
        await self._loop.run_in_executor(None, self._waiter.join)
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._loop.run_in_executor(self._jobs, self._crew.__exit__, None, None, None)
        self._jobs.shutdown()


async def _each(inputs: Iterable[Input] | AsyncIterable[Input]) -> AsyncIterator[Input]:
    if isinstance(inputs, AsyncIterable):
        async for x in inputs:
            yield x
    else:
        for x in inputs:
            yield x
