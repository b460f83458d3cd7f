"""What work stealing must know: what tasks read, who reads their results, where those are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcp_tvm.plan.pieces import FRAME, Pieces, Reads, distinct_bytes
from lcp_tvm.plan.plan import GATEWAY, Plan, Region
from lcp_tvm.predict.flow import FlowFrame, Route


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compute a task.

    Attributes
    ----------
    frame_bytes : read of the frame.
    reads : by read, the tasks that write it; reads of the frame alone are left out.
    needs : how many of those must be there.
    fetch_bytes : what is read of each task's results.
    """

    frame_bytes: int
    reads: tuple[tuple[int, ...], ...]
    needs: int
    fetch_bytes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stealable:
    """A task that waits in a queue.

    Attributes
    ----------
    ways : its own, then its fallback.
    pool_bytes : of its results, what other queued tasks read; the gateway's pool keeps it.
    """

    ways: tuple[Way, ...]
    pool_bytes: int


class StealFrame(FlowFrame):
    """A frame, its queue, and where its results are.

    Attributes
    ----------
    queue : tasks that nobody has taken yet, in order.
    ran_on : by task, the machine that has computed it.
    pooled : tasks of whose results the gateway has all that others read, as the source knows.
    passed_over_ms : by task, when it was first asked for in vain.
    """

    __slots__ = ("passed_over_ms", "pooled", "queue", "ran_on")

    def __init__(
        self, number: int, source: int, arrived_ms: float, route: Route, queue: list[int]
    ) -> None:
        super().__init__(number, source, arrived_ms, route)
        self.queue = queue
        self.ran_on: dict[int, int] = {}
        self.pooled: set[int] = set()
        self.passed_over_ms: dict[int, float] = {}

    def is_ready(self, way: Way, machine: int) -> bool:
        """Whether a machine could have all that a way to compute a task reads."""
        if not way.needs:
            return True
        ready = sum(
            all(task in self.pooled or self.ran_on.get(task) == machine for task in read)
            for read in way.reads
        )
        return ready >= way.needs


Taken = tuple[StealFrame, int, bool]
"""A frame, a task of it, and whether to run the task's fallback."""


def find_stealable(plan: Plan, reads: Reads) -> tuple[Stealable | None, ...]:
    """Return by task what stealing must know of it; None for those of the gateway."""
    wanted: list[list[Region]] = [[] for _ in plan.tasks]
    for task, own, other in zip(plan.tasks, reads.tasks, reads.fallbacks, strict=True):
        if task.device != GATEWAY:
            for producer, region in (piece for found in (*own, *other) for piece in found):
                if producer != FRAME:
                    wanted[producer].append(region)
    found: list[Stealable | None] = []
    for number, task in enumerate(plan.tasks):
        if task.device == GATEWAY:
            found.append(None)
            continue
        ways = [_way(plan, reads.tasks[number], task.needs)]
        if task.fallback is not None:
            ways.append(_way(plan, reads.fallbacks[number], None))
        found.append(Stealable(tuple(ways), distinct_bytes(plan, wanted[number])))
    return tuple(found)


def _way(plan: Plan, found: Sequence[Pieces], needs: int | None) -> Way:
    regions: dict[int, list[Region]] = {FRAME: []}
    for producer, region in (piece for pieces in found for piece in pieces):
        regions.setdefault(producer, []).append(region)
    frame_bytes = distinct_bytes(plan, regions.pop(FRAME))
    reads = [tuple(p for p, _ in pieces if p != FRAME) for pieces in found]
    of_tasks = tuple(read for read in reads if read)
    there = len(reads) - len(of_tasks)
    required = len(of_tasks) if needs is None else max(needs - there, 0)
    fetch = tuple((task, distinct_bytes(plan, some)) for task, some in regions.items())
    return Way(frame_bytes, of_tasks, required, fetch)
