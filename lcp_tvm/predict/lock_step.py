"""Work sharing in lock-step, as DeepThings has it for MoDNN and its own tiles (sections II, V).

    source ---- the frame ----> gateway ---- what it reads ----> each device
    device ---- what others read ----> gateway ---- once the step is complete ----> each device
    device ---- results ----> gateway

There is one transfer at a time, whoever sends: it begins when the one before has arrived. Tasks
that read others' results go in lock-step ("bulk-synchronous"): the gateway collects a step before
it hands anything of it on, and the tasks of the next step begin together. Tasks that read the frame
alone begin when their part comes.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from lcp_tvm.plan.pieces import FRAME, Reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.flow import FlowFrame, FlowSimulation, Route
from lcp_tvm.predict.placement import deal_out
from lcp_tvm.predict.simulation import Load
from lcp_tvm.predict.wiring import Message


@dataclass(frozen=True, slots=True)
class Steps:
    """The lock-step of a route.

    Attributes
    ----------
    tasks : in each step.
    messages : of each step that the gateway passes on.
    origins : of these messages, the step.
    """

    tasks: Counter[int]
    messages: Counter[int]
    origins: dict[Message, int]


class LockStepFrame(FlowFrame):
    """A frame, and what its steps wait for.

    Attributes
    ----------
    collected : by step, messages that the gateway has and will pass on.
    ready : by step, tasks that have all that they read.
    """

    __slots__ = ("collected", "ready", "steps")

    def __init__(
        self, number: int, source: int, arrived_ms: float, route: Route, steps: Steps
    ) -> None:
        super().__init__(number, source, arrived_ms, route)
        self.steps = steps
        self.collected: dict[int, list[Message]] = {}
        self.ready: dict[int, list[int]] = {}


class LockStepSimulation(FlowSimulation):
    """The gateway shares out the work, and has layers begin together."""

    relay = True

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        reads: Reads,
        load: Load,
        *,
        seed: int = 0,
        trace: bool = False,
    ) -> None:
        super().__init__(plan, cluster, reads, load, seed=seed, trace=trace)
        self._step = find_steps(reads)
        self._steps: dict[tuple[int, int], Steps] = {}
        self._transfers: deque[tuple[Message, FlowFrame, int]] = deque()

    def places(self, replica: int, source: int) -> list[int]:
        return deal_out(self.plan, self.machines, replica)

    def frame(self, number: int, source: int, arrived_ms: float) -> LockStepFrame:
        key = (self.replica(number), source)
        route = self.route(*key)
        if key not in self._steps:
            self._steps[key] = self._steps_of(route)
        return LockStepFrame(number, source, arrived_ms, route, self._steps[key])

    def transmit(self, message: Message, frame: FlowFrame, source: int) -> None:
        self._transfers.append((message, frame, source))
        if len(self._transfers) == 1:
            super().transmit(message, frame, source)

    def arrived(self, arrival: tuple[Message, FlowFrame]) -> None:
        super().arrived(arrival)
        self._transfers.popleft()
        if self._transfers:
            super().transmit(*self._transfers[0])

    def pass_on(self, message: Message, frame: FlowFrame) -> None:
        assert isinstance(frame, LockStepFrame)
        step = frame.steps.origins.get(message)
        if step is None:  # the frame itself
            super().pass_on(message, frame)
            return
        collected = frame.collected.setdefault(step, [])
        collected.append(message)
        if len(collected) == frame.steps.messages[step]:
            for each in collected:
                super().pass_on(each, frame)

    def start(self, task: int, frame: FlowFrame) -> None:
        assert isinstance(frame, LockStepFrame)
        step = self._step[task]
        if step == 0:
            super().start(task, frame)
            return
        ready = frame.ready.setdefault(step, [])
        ready.append(task)
        if len(ready) == frame.steps.tasks[step]:
            for each in ready:
                super().start(each, frame)

    def _steps_of(self, route: Route) -> Steps:
        origins = {
            message: step
            for step, messages in zip(self._step, route.wiring.after, strict=True)
            for message in messages
            if message.onward
        }
        return Steps(Counter(self._step), Counter(origins.values()), origins)


def find_steps(reads: Reads) -> list[int]:
    """Return by task how many must run before it, one after the other."""
    steps: list[int] = []
    for found in reads.tasks:
        producers = {producer for pieces in found for producer, _ in pieces} - {FRAME}
        steps.append(max((steps[producer] + 1 for producer in producers), default=0))
    return steps
