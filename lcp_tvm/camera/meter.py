"""What a live camera did over the last seconds."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from lcp_tvm.camera.result import Result
from lcp_tvm.predict.prediction import Latency, latency_of
from lcp_tvm.rpc.statistics import FrameUse, Memory, Statistics

WINDOW_S = 5.0
NONE = Latency(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast frames are answered.

    Attributes
    ----------
    latency_ms : from capture to answer.
    infer_ms : of that, in the cluster.
    """

    frames_per_s: float
    latency_ms: Latency
    infer_ms: Latency


@dataclass(frozen=True, slots=True)
class Load:
    """What a board did for a frame, on average, and what it holds now.

    Attributes
    ----------
    told_s : when it told so, by ``time.monotonic``.
    """

    compute_ms: float = 0.0
    transfer_ms: float = 0.0
    wait_ms: float = 0.0
    frame_bytes: float = 0.0
    held_bytes: int = 0
    told_s: float = 0.0


class Meter:
    """Takes results and statistics; what is older than ``WINDOW_S`` is forgotten."""

    def __init__(self) -> None:
        self._results: deque[tuple[float, float, float]] = deque()
        self._uses: deque[tuple[float, tuple[FrameUse, ...]]] = deque()
        self._memory: dict[str, tuple[Memory, float]] = {}

    def answered(self, result: Result) -> None:
        """Take a result."""
        self._results.append((result.answered_s, result.latency_ms, result.infer_ms))
        self._forget(result.answered_s)

    def told(self, statistics: Statistics) -> None:
        """Take what the boards say."""
        now_s = time.monotonic()
        self._uses.append((now_s, statistics.uses))
        for memory in statistics.memory:
            self._memory[memory.device] = memory, now_s
        self._forget(now_s)

    def pace(self) -> Pace:
        """Return how fast frames were answered."""
        now_s = time.monotonic()
        self._forget(now_s)
        if not self._results:
            return Pace(0.0, NONE, NONE)
        times, latencies, infers = zip(*self._results, strict=True)
        # A window that has just begun is as long as what is in it.
        span_s = min(max(now_s - times[0], 1e-3), WINDOW_S)
        return Pace(len(times) / span_s, latency_of(latencies), latency_of(infers))

    def load(self, board: str) -> Load:
        """Return what a board did; zeros where it told nothing."""
        uses = [use for _, every in self._uses for use in every if use.device == board]
        frames = max(len(uses), 1)
        memory, told_s = self._memory.get(board, (None, 0.0))
        return Load(
            compute_ms=sum(use.compute_ms for use in uses) / frames,
            transfer_ms=sum(use.transfer_ms for use in uses) / frames,
            wait_ms=sum(use.wait_ms for use in uses) / frames,
            frame_bytes=sum(use.sent_bytes + use.received_bytes for use in uses) / frames,
            held_bytes=0 if memory is None else memory.held + memory.weights,
            told_s=told_s,
        )

    def _forget(self, now_s: float) -> None:
        for every in (self._results, self._uses):
            while every and every[0][0] < now_s - WINDOW_S:
                every.popleft()
