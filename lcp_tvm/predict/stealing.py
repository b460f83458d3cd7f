"""Work stealing, as DeepThings does it (section IV-B), with reuse of overlaps (IV-C).

    thief                 gateway            source of a frame
      |                      |<---- has work -------|   when a frame comes
      |---- who has work? -->|                      |
      |<--- the source ------|                      |
      |---- a task, please ------------------------>|
      |<--- what it reads of the frame -------------|
      |---- the overlaps --->|                      |   when all of them are in the pool
      |<--- the overlaps ----|                      |
      |==== computes         |                      |==== computes tasks of its own queue
      |---- overlaps ------->|<---- overlaps -------|
      |---- results -------->|<---- results --------|

A queue is served in plan order, but for tasks that cannot run yet: what they read is neither in
the gateway's pool nor with the taker. Such a task waits; its fallback, if it has one, runs when it
has been passed over for long enough (`Rules`). The gateway tells a frame's source what is in the
pool. A source sends one task at a time; who asks meanwhile waits. A device does one thing at a
time: it computes, fetches, or asks for work; when nobody has any, it sleeps and asks again. Tasks
for the gateway run there when all that they read has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from lcp_tvm.plan.pieces import Reads
from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.predict.board import Board, Call
from lcp_tvm.predict.clock import T, after
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.flow import FlowFrame, FlowSimulation
from lcp_tvm.predict.placement import bound_machine, group
from lcp_tvm.predict.rules import OURS, Rules
from lcp_tvm.predict.simulation import Load
from lcp_tvm.predict.stealable import StealFrame, Taken, Way, find_stealable
from lcp_tvm.predict.wiring import ANYWHERE

LONGER = 1000
"""Whoever has had nothing to do for long sleeps this fraction of that time, so that a wait of any
length takes few questions; up to 100 seconds it makes no difference."""

CONTROL_BYTES = 64
"""Of a question or a refusal; what LCP measured the latency of its WiFi with."""


class StealingSimulation(FlowSimulation):
    """Idle devices steal from the queues of frames' sources."""

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        reads: Reads,
        load: Load,
        *,
        rules: Rules = OURS,
        seed: int = 0,
        trace: bool = False,
    ) -> None:
        super().__init__(plan, cluster, reads, load, seed=seed, trace=trace)
        devices = len(cluster.devices)
        self._rules = rules
        self._tasks = find_stealable(plan, reads)
        self._allowed = [self._machines_of(replica) for replica in range(plan.replicas)]
        self._queues: list[deque[StealFrame]] = [deque() for _ in range(devices)]
        self._askers: list[deque[int]] = [deque() for _ in range(devices)]
        self._registered = [0] * devices
        self._last_victim = -1
        self._engaged = [False] * devices
        self._naps = [0] * devices
        self._idle_since = [0.0] * devices

    def places(self, replica: int, source: int) -> list[int]:
        return [self.gateway if t.device == GATEWAY else ANYWHERE for t in self.plan.tasks]

    def frame(self, number: int, source: int, arrived_ms: float) -> StealFrame:
        route = self.route(self.replica(number), source)
        queue = [task for task, place in enumerate(route.places) if place == ANYWHERE]
        return StealFrame(number, source, arrived_ms, route, queue)

    def begin(self, frame: FlowFrame) -> None:
        assert isinstance(frame, StealFrame)
        super().begin(frame)
        if frame.queue:
            queue = self._queues[frame.source]
            queue.append(frame)
            if len(queue) == 1:
                self._register(frame.source, 1)
        for machine in range(len(self._queues)) if frame.number == 0 else (frame.source,):
            self._wake(machine)

    def done(self, board: Board, call: Call, frame: FlowFrame) -> None:
        assert isinstance(frame, StealFrame)
        stealable = self._tasks[call.task]
        if stealable is None:
            self._pool((frame, call.task, 0))
        else:
            frame.ran_on[call.task] = board.number
            self._engaged[board.number] = False
            self._give_to_pool(board, call, frame, stealable.pool_bytes)
        super().done(board, call, frame)
        if board.number < len(self._queues) and not board.has_waiting:
            self._idle_since[board.number] = self.env.now
            self._seek(board.number)

    # The pool.

    def _give_to_pool(self, board: Board, call: Call, frame: StealFrame, nbytes: int) -> None:
        arrival = (frame, call.task, nbytes)
        if nbytes and board.number != self.gateway:
            name = f"{call.name} to pool"
            self.links.send(board.number, self.gateway, nbytes, name, self._pool, arrival)
        elif nbytes:
            self._pool(arrival)

    def _pool(self, arrival: tuple[StealFrame, int, int]) -> None:
        """Add to the pool."""
        frame, task, nbytes = arrival
        self.keep(frame, len(self.plan.tasks), self.gateway, nbytes)
        self._tell(self.gateway, frame.source, "pooled", self._pooled, (frame, task))

    def _pooled(self, news: tuple[StealFrame, int]) -> None:
        """Let the source know; it may have waited for it."""
        frame, task = news
        frame.pooled.add(task)
        if self._is_free(frame.source):
            self._serve_itself(frame.source)

    # A device looks for work: _seek, _hint at the gateway, _ask, _give and _answer at the victim,
    # _stolen.

    def _is_free(self, machine: int) -> bool:
        return not self._engaged[machine] and self.boards[machine].idle

    def _wake(self, machine: int) -> None:
        if self._is_free(machine):
            self._seek(machine)

    def _seek(self, machine: int) -> None:
        if self._engaged[machine] or self._serve_itself(machine) or len(self._queues) == 1:
            return
        self._engage(machine)
        self._tell(machine, self.gateway, "who has work?", self._hint, machine)

    def _serve_itself(self, machine: int) -> bool:
        """Take a task from its own queue; whether there was one."""
        taken = self._take(machine, machine)
        if taken is None:
            return False
        self._engage(machine)
        self._fetch(machine, taken, 0)
        return True

    def _engage(self, machine: int) -> None:
        """Take a device for one thing; a nap that it took is over."""
        self._engaged[machine] = True
        self._naps[machine] += 1

    def _hint(self, machine: int) -> None:
        """Name the next device with a queue, in turn."""
        devices = len(self._registered)
        for step in range(1, devices + 1):
            victim = (self._last_victim + step) % devices
            if self._registered[victim] > 0 and victim != machine:
                self._last_victim = victim
                pair = (machine, victim)
                self._tell(self.gateway, machine, "that device", self._ask, pair)
                return
        self._tell(self.gateway, machine, "nobody", self._sleep, machine)

    def _ask(self, pair: tuple[int, int]) -> None:
        machine, victim = pair
        self._tell(machine, victim, "a task, please", self._give, pair)

    def _give(self, pair: tuple[int, int]) -> None:
        machine, victim = pair
        self._askers[victim].append(machine)
        if len(self._askers[victim]) == 1:
            self._answer(victim)

    def _answer(self, victim: int) -> None:
        """Answer those who ask; after one that gets a task, when that has left."""
        askers = self._askers[victim]
        while askers:
            machine = askers[0]
            taken = self._take(victim, machine)
            if taken is not None:
                nbytes = self._way(taken).frame_bytes
                name = f"frame to {self.plan.tasks[taken[1]].name}"
                value = (machine, taken, nbytes)
                left = self.links.send(victim, machine, nbytes, name, self._stolen, value)
                after(self.env, left - self.env.now, self._left, victim)
                return
            askers.popleft()
            self._tell(victim, machine, "no task", self._sleep, machine)

    def _left(self, victim: int) -> None:
        self._askers[victim].popleft()
        self._answer(victim)

    def _stolen(self, arrival: tuple[int, Taken, int]) -> None:
        machine, taken, nbytes = arrival
        self.boards[machine].hold(nbytes)
        self._fetch(machine, taken, nbytes)

    def _sleep(self, machine: int) -> None:
        """Sleep, unless a frame of its own has come meanwhile."""
        self._engaged[machine] = False
        if not self._serve_itself(machine):
            nap_ms = max(self._rules.poll_ms, (self.env.now - self._idle_since[machine]) / LONGER)
            after(self.env, nap_ms, self._slept, (machine, self._naps[machine]))

    def _slept(self, sleeper: tuple[int, int]) -> None:
        machine, nap = sleeper
        if nap == self._naps[machine]:
            self._wake(machine)

    # A device with a task: _fetch, _serve at the gateway, _fetched.

    def _fetch(self, machine: int, taken: Taken, held_bytes: int) -> None:
        """Get what the task reads of others' results, unless it is here already; then run it."""
        frame, task, is_fallback = taken
        nbytes = sum(
            nbytes
            for other, nbytes in self._way(taken).fetch_bytes
            if other in frame.pooled and frame.ran_on.get(other) != machine
        )
        if nbytes and machine != self.gateway:
            request = (machine, taken, held_bytes, nbytes)
            self._tell(machine, self.gateway, "overlaps, please", self._serve, request)
        else:
            call = self.call(task, machine, fallback=is_fallback)
            self.boards[machine].submit(call, frame, held_bytes)

    def _serve(self, request: tuple[int, Taken, int, int]) -> None:
        machine, taken, _, nbytes = request
        name = f"pool to {self.plan.tasks[taken[1]].name}"
        self.links.send(self.gateway, machine, nbytes, name, self._fetched, request)

    def _fetched(self, request: tuple[int, Taken, int, int]) -> None:
        machine, (frame, task, is_fallback), held_bytes, nbytes = request
        self.boards[machine].hold(nbytes)
        call = self.call(task, machine, fallback=is_fallback)
        self.boards[machine].submit(call, frame, held_bytes + nbytes)

    # Queues.

    def _take(self, victim: int, machine: int) -> Taken | None:
        """Take the first task from a queue that a machine can run."""
        for frame in self._queues[victim]:
            allowed = self._allowed[self.replica(frame.number)]
            for task in frame.queue:
                stealable = self._tasks[task]
                assert stealable is not None
                if machine not in allowed[task]:
                    continue
                way, *fallback = stealable.ways
                if frame.is_ready(way, machine):
                    self._remove(victim, frame, task)
                    return frame, task, False
                has_waited = self._has_waited(frame, task)
                if has_waited and fallback and frame.is_ready(fallback[0], machine):
                    self._remove(victim, frame, task)
                    return frame, task, True
        return None

    def _has_waited(self, frame: StealFrame, task: int) -> bool:
        """Whether a task has been passed over for too long; the first time counts from now."""
        since = frame.passed_over_ms.setdefault(task, self.env.now)
        return bool(self.env.now - since >= self._rules.patience_ms)

    def _remove(self, victim: int, frame: StealFrame, task: int) -> None:
        frame.queue.remove(task)
        if not frame.queue:
            self._queues[victim].remove(frame)
            if not self._queues[victim]:
                self._register(victim, -1)

    def _register(self, machine: int, change: int) -> None:
        name = "has work" if change > 0 else "has none"
        self._tell(machine, self.gateway, name, self._registers, (machine, change))

    def _registers(self, news: tuple[int, int]) -> None:
        machine, change = news
        self._registered[machine] += change

    def _tell(
        self, source: int, target: int, name: str, arrived: Callable[[T], None], value: T
    ) -> None:
        """Send a few words; within a machine they cost nothing."""
        if source == target:
            after(self.env, 0.0, arrived, value)
        else:
            self.links.send(source, target, CONTROL_BYTES, name, arrived, value)

    def _way(self, taken: Taken) -> Way:
        _, task, is_fallback = taken
        stealable = self._tasks[task]
        assert stealable is not None
        return stealable.ways[int(is_fallback)]

    def _machines_of(self, replica: int) -> list[frozenset[int]]:
        """Return by task the devices that may run it."""
        every = frozenset(group(self.plan, self.machines, replica))
        bound = [bound_machine(self.plan, self.machines, t, replica) for t in self.plan.tasks]
        return [every if machine is None else frozenset((machine,)) for machine in bound]
