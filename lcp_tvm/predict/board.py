"""A machine at work: one call at a time, oldest frame first, and the memory it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from simpy import Environment

from lcp_tvm.predict.clock import after
from lcp_tvm.predict.frame import Frame
from lcp_tvm.predict.trace import Span


@dataclass(frozen=True, slots=True)
class Call:
    """What a machine does for a task.

    Attributes
    ----------
    task : its number in the plan.
    ms : how long it takes here.
    """

    task: int
    name: str
    function: str
    ms: float
    macs: int
    peak_bytes: int
    is_fallback: bool = False


Done = Callable[["Board", Call, Any], None]
"""Called when a call has ended, with the frame it was for."""


class Board:
    """Computes, and counts what that takes.

    Attributes
    ----------
    busy_ms : time spent in calls that have ended.
    macs, fallbacks : of the calls begun.
    functions : that it has called and so holds the weights of.
    peak_bytes : the most memory at a time: what has come and waits, and the call that runs.
    """

    def __init__(
        self, env: Environment, number: int, name: str, done: Done, spans: list[Span] | None
    ) -> None:
        self.number = number
        self.name = name
        self.busy_ms = 0.0
        self.macs = 0
        self.fallbacks = 0
        self.functions: set[str] = set()
        self.peak_bytes = 0
        self._held_bytes = 0
        self._env = env
        self._done = done
        self._spans = spans
        self._call: Call | None = None
        self._started = 0.0
        self._waiting: list[tuple[int, int, Call, Frame, int]] = []

    @property
    def idle(self) -> bool:
        """Whether it neither computes nor has anything to compute."""
        return self._call is None and not self._waiting

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for the one that runs."""
        return bool(self._waiting)

    def hold(self, nbytes: int) -> None:
        """Keep data in memory; negative to let go of it."""
        self._held_bytes += nbytes
        running = 0 if self._call is None else self._call.peak_bytes
        self.peak_bytes = max(self.peak_bytes, self._held_bytes + running)

    def submit(self, call: Call, frame: Frame, held_bytes: int) -> None:
        """Run a call as soon as those of older frames, and earlier tasks of this, are done.

        Parameters
        ----------
        held_bytes : data that the call takes over when it starts.
        """
        if self._call is None:
            self._start(call, frame, held_bytes)
        else:
            heappush(self._waiting, (frame.number, call.task, call, frame, held_bytes))

    def stop(self) -> None:
        """Count what was done of the call that runs."""
        if self._call is not None:
            self.busy_ms += self._env.now - self._started

    def _start(self, call: Call, frame: Frame, held_bytes: int) -> None:
        self._call = call
        self._started = self._env.now
        self.macs += call.macs
        self.fallbacks += call.is_fallback
        self.functions.add(call.function)
        self.hold(-held_bytes)
        after(self._env, call.ms, self._end, frame)
        if self._spans is not None:
            args = {"frame": frame.number, "function": call.function}
            span = Span(self.name, "compute", call.name, self._started * 1e3, call.ms * 1e3, args)
            self._spans.append(span)

    def _end(self, frame: Frame) -> None:
        """End the call; what its end makes ready queues up with the rest."""
        call = self._call
        assert call is not None
        self.busy_ms += call.ms
        self._done(self, call, frame)
        self._call = None
        if self._waiting:
            _, _, call, frame, held_bytes = heappop(self._waiting)
            self._start(call, frame, held_bytes)
