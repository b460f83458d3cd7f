"""What every policy has in common: a clock, machines, links, and frames that come and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from simpy import Environment

from lcp_tvm.predict.board import Board, Call
from lcp_tvm.predict.clock import after
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.frame import Frame
from lcp_tvm.predict.links import Links
from lcp_tvm.predict.trace import Span

AnyFrame = TypeVar("AnyFrame", bound=Frame)


@dataclass(frozen=True, slots=True)
class Load:
    """How frames arrive.

    Attributes
    ----------
    in_flight : a frame arrives when one of so many is done; unused with a period.
    period_ms : between arrivals, whatever has become of the earlier frames.
    serial : one frame at a time is computed, and the others wait for it.
    """

    frames: int = 1
    in_flight: int = 1
    period_ms: float | None = None
    serial: bool = False


class Simulation(ABC, Generic[AnyFrame]):
    """Frames through a cluster; subclasses say how.

    Events at one time happen in the order in which they were brought about.

    Attributes
    ----------
    boards : by number of machine; a gateway of its own is the last.
    latencies_ms : by order of completion.
    spans : what happened, when that was asked for.
    """

    def __init__(self, cluster: Cluster, load: Load, seed: int, trace: bool) -> None:
        self.env = Environment()
        self.spans: list[Span] | None = [] if trace else None
        self.links = Links(self.env, cluster, seed, self.spans)
        self.boards = [
            Board(self.env, number, machine.name, self.done, self.spans)
            for number, machine in enumerate(cluster.machines)
        ]
        self.latencies_ms: list[float] = []
        self._sources = cluster.sources
        self._load = load
        self._arrivals = 0
        self._active = 0
        self._waiting: deque[AnyFrame] = deque()
        self._last = self.env.event()

    @abstractmethod
    def frame(self, number: int, source: int, arrived_ms: float) -> AnyFrame:
        """Return a new frame."""

    @abstractmethod
    def begin(self, frame: AnyFrame) -> None:
        """Begin to compute a frame."""

    @abstractmethod
    def done(self, board: Board, call: Call, frame: AnyFrame) -> None:
        """Go on after a call has ended."""

    def run(self) -> float:
        """Run until the last frame is done.

        Returns
        -------
        How long that took, in milliseconds.
        """
        load = self._load
        at_once = 1 if load.period_ms is not None else min(load.in_flight, load.frames)
        for slot in range(at_once):
            after(self.env, 0.0, self._arrive, slot)
        self.env.run(until=self._last)
        for board in self.boards:
            board.stop()
        return float(self.env.now)

    def finish(self, frame: AnyFrame) -> None:
        """Take a frame that is done; the next one may come."""
        self.latencies_ms.append(self.env.now - frame.arrived_ms)
        self._active -= 1
        if len(self.latencies_ms) == self._load.frames:
            self._last.succeed()
        elif self._waiting:
            self._begin(self._waiting.popleft())
        load = self._load
        if load.period_ms is None and frame.number + load.in_flight < load.frames:
            after(self.env, 0.0, self._arrive, frame.number + load.in_flight)

    def _arrive(self, number: int) -> None:
        source = self._sources[number % len(self._sources)]
        load = self._load
        frame = self.frame(number, source, self.env.now)
        if load.period_ms is not None and number + 1 < load.frames:
            after(self.env, load.period_ms, self._arrive, number + 1)
        if load.serial and self._active:
            self._waiting.append(frame)
        else:
            self._begin(frame)

    def _begin(self, frame: AnyFrame) -> None:
        self._active += 1
        self.begin(frame)
