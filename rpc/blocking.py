"""Plans on workers, for scripts: `Cluster` without asyncio, in one thread.

with BlockingCluster(package, workers) as cluster:
    (scores,) = cluster.infer(x)
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

from lcp_tvm.errors import LcpError
from lcp_tvm.rpc.frames import Frame
from lcp_tvm.rpc.front import TURN_MS, Front
from lcp_tvm.rpc.inputs import Array, Input, inputs_of
from lcp_tvm.rpc.run import Job, Outputs, Run, Stimulus
from lcp_tvm.rpc.statistics import Statistics

JOB_TURN_MS = 10
"""How long events are waited for while a job runs, whose end is no event."""

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Pending:
    """A frame that somebody waits for."""

    deadline: float
    frame: Frame | None = None
    outcome: Outputs | LcpError | None = None

    def settle(self, outcome: Outputs | LcpError) -> None:
        self.outcome = outcome


class BlockingCluster(Front):
    """A package on workers. Use it in a ``with`` statement, from one thread."""

    def __enter__(self) -> BlockingCluster:
        """Open all nodes; see `Cluster.__aenter__`."""
        self._jobs = ThreadPoolExecutor(thread_name_prefix="lcp-tvm control")
        self._under_way = 0
        self._finished: SimpleQueue[Future[Stimulus]] = SimpleQueue()
        opening = self._jobs.submit(self._open, self._start)
        try:
            self._run = _wait_for(opening)
        except BaseException:
            self._abort()
            self._jobs.shutdown()
            if opening.exception() is None:
                self._crew.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all frames and leave the workers, which are free again."""
        run, self._run = self._opened(), None
        run.close()
        if self._under_way:
            self._abort()
        self._jobs.shutdown()
        self._crew.__exit__(kind, error, trace)

    def infer(
        self, x: Input, *, source: int | None = None, deadline_s: float | None = None
    ) -> Outputs:
        """Compute a frame; see `Cluster.infer`."""
        (outputs,) = self.stream((x,), source=source, deadline_s=deadline_s)
        return outputs

    def stream(
        self,
        inputs: Iterable[Input],
        *,
        source: int | None = None,
        deadline_s: float | None = None,
    ) -> Generator[Outputs]:
        """Compute frames, several at a time, and yield their outputs; see `Cluster.stream`."""
        run = self._opened()
        frames: deque[_Pending] = deque()
        try:
            for x in inputs:
                frames.append(self._submit(run, x, source, deadline_s))
                if len(frames) >= run.limit:
                    yield self._outcome(run, frames.popleft())
            while frames:
                yield self._outcome(run, frames.popleft())
        finally:
            for pending in frames:
                assert pending.frame is not None
                run.cancel(pending.frame)

    def keep(self, name: str, arrays: Sequence[Array], *, source: int) -> None:
        """Give a source inputs that frames may begin with; see `Cluster.keep`."""
        run = self._opened()
        _wait_for(self._jobs.submit(run.keep, name, arrays, source))

    def stats(self) -> Statistics:
        """Ask all nodes what they have done since the last time."""
        return _wait_for(self._jobs.submit(self._opened().statistics))

    def _submit(self, run: Run, x: Input, source: int | None, deadline_s: float | None) -> _Pending:
        timeout_s = self.settings.deadline_s if deadline_s is None else deadline_s
        pending = _Pending(time.monotonic() + timeout_s)
        pending.frame = run.submit(inputs_of(self.plan, x), source, timeout_s, pending.settle)
        return pending

    def _outcome(self, run: Run, pending: _Pending) -> Outputs:
        """Wait for the end of a frame; what has come counts before what is late."""
        assert pending.frame is not None
        try:
            while pending.outcome is None:
                self._apply_finished(run)
                left_ms = (pending.deadline - time.monotonic()) * 1e3
                turn_ms = JOB_TURN_MS if self._under_way else TURN_MS
                event = run.next(int(min(max(left_ms, 0), turn_ms)))
                if len(event) > 0:
                    run.handle(event)
                elif left_ms <= 0:
                    run.expire(pending.frame)
        finally:
            run.cancel(pending.frame)
        if isinstance(pending.outcome, LcpError):
            raise pending.outcome
        return pending.outcome

    def _start(self, job: Job) -> None:
        self._under_way += 1
        self._jobs.submit(job).add_done_callback(self._finished.put)

    def _apply_finished(self, run: Run) -> None:
        while not self._finished.empty():
            self._under_way -= 1
            run.apply(self._finished.get().result())


def _wait_for(future: Future[_T]) -> _T:
    """Wait in short turns: a Ctrl-C just before a wait begins is noticed only when it ends."""
    while True:
        done, _ = wait((future,), timeout=TURN_MS / 1e3)
        if done:
            return future.result()
