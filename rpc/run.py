"""A run: a plan on the nodes of a crew. Carries out what `Frames` orders, and does no waiting.

Whoever owns it calls `handle` with what `next` returned, `expire` when a frame's time is over, and
runs the jobs that it is given, which talk to nodes and take their time, in other threads.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from lcp_tvm.errors import InputError, LcpError, WorkerError
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.control import near_error
from lcp_tvm.rpc.crew import Crew
from lcp_tvm.rpc.frames import (
    Announce,
    Begin,
    Done,
    End,
    Fail,
    Frame,
    Frames,
    Inputs,
    Order,
    Restore,
    Standing,
)
from lcp_tvm.rpc.inputs import Array, check_inputs
from lcp_tvm.rpc.program import make_program
from lcp_tvm.rpc.routes import Route, Router
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.statistics import (
    Clocks,
    Counters,
    Ended,
    Names,
    Statistics,
    joined,
    read_counters,
)

RETRY_S = 0.2
"""Between attempts to get a node back."""

SETTLE_S, ASK_AGAIN_S = 0.5, 0.005
"""Nodes learn a little later than we that a frame has ended, and count it then."""

MAX_ENDED = 4096
"""Frames whose ends are remembered for statistics, the newest."""

Outputs = tuple[Array, ...]
Settle = Callable[[Outputs | LcpError], None]
"""Told once how a frame has ended."""

Stimulus = Callable[[Frames], list[Order]]
Job = Callable[[], Stimulus]
"""Talks to nodes; returns what has come of it, for `Run.apply`."""


class Run:
    """A plan on nodes.

    Attributes
    ----------
    limit : frames that run at a time.
    """

    def __init__(
        self,
        plan: Plan,
        crew: Crew,
        settings: Settings,
        start: Callable[[Job], None],
    ) -> None:
        """Take what is needed; `open` tells the nodes.

        Parameters
        ----------
        start : has a job run in another thread.
        """
        settings.check(crew.machines.devices)
        self.plan = plan
        self.crew = crew
        self.settings = settings
        self._start = start
        self._settles: dict[Frame, tuple[Settle, float]] = {}
        self._ended: deque[Ended] = deque(maxlen=MAX_ENDED)
        self._policy = settings.policy or plan.policy
        reads = find_reads(plan)
        self._program = make_program(
            plan,
            reads,
            run=secrets.randbits(64),
            nodes=crew.names,
            gateway=crew.machines.gateway,
            pace=settings.pace,
            trace=settings.trace,
        )
        self.router = Router(plan, reads, crew.names, crew.machines, self._policy, crew.cluster)
        self.limit = 1 if self._policy == "sharing" else settings.in_flight * self.router.turns
        self._frames = Frames(self.router, crew.names, crew.machines.gateway, self.limit)
        self._kept: dict[tuple[int, str], tuple[Array, ...]] = {}
        self._ports: dict[int, int] = {}
        self._clocks = Clocks(len(crew.nodes))
        self._turn = 0
        self._closed = False
        self._connecting: int | None = None
        self._broken = False
        module = crew.client.module
        self._begin, self._end = module["begin"], module["end"]
        self.next: Callable[[int], Any] = module["next"]
        """What has happened, after so many ms at most: the event of a node, or nothing."""

    def open(self) -> None:
        """Tell all nodes the program and the first routes, and connect them.

        Raises
        ------
        WorkerError
            A node refuses the program, or cannot reach another.
        """
        crew = self.crew
        for number, node in enumerate(crew.nodes):
            self._ports[number] = node.prepare(self._program.for_node(number))
            node.connect(self._peers(range(number)))
        crew.client.prepare(self._program.for_node(len(crew.nodes)))
        crew.client.connect(self._peers(range(len(crew.nodes))))
        routes = self.router.routes(self.settings.sources)
        for route in routes:
            self._tell(route)
        self.apply(lambda frames: frames.announced(routes))

    def submit(self, inputs: Inputs, source: int | None, timeout_s: float, settle: Settle) -> Frame:
        """Begin a frame as soon as can be.

        Parameters
        ----------
        source : a device; None takes those of the settings in turn.
        timeout_s : when `expire` will be called, for messages.

        Raises
        ------
        InputError
            There is no such source.
        """
        if source is None and self.settings.sources:
            source = self.settings.sources[self._turn % len(self.settings.sources)]
        elif source is not None and not 0 <= source < self.crew.machines.devices:
            raise InputError(
                f"source {source} is not a device; they are 0 to {self.crew.machines.devices - 1}"
            )
        self._turn += 1
        frame = Frame(inputs, source, timeout_s)
        self._settles[frame] = (settle, time.perf_counter())
        self._carry_out(self._frames.submit(frame))
        return frame

    def expire(self, frame: Frame) -> None:
        """End a frame whose time is over."""
        if frame in self._settles:
            silent = json.loads(str(self.crew.client.module["silent"]()))
            self._carry_out(self._frames.expire(frame, silent))

    def cancel(self, frame: Frame) -> None:
        """End a frame that nobody waits for any more."""
        if self._settles.pop(frame, None) is not None:
            self._carry_out(self._frames.cancel(frame))

    def leave_out(self, node: int) -> None:
        """Do without a node, which is free again, until it is taken back.

        Raises
        ------
        InputError
            The plan cannot do without it.
        """
        if self.router.needs(node):
            raise InputError(
                f"{self.crew.names[node]}: the plan {self.plan.split} cannot do without it now; "
                "take others back first, or switch to another split"
            )
        self._carry_out(self._frames.leave_out(node))
        self.crew.nodes[node].cut()

    def take_back(self, node: int) -> None:
        """Get a node back that was left out, or did not come back by itself."""
        self._carry_out(self._frames.take_back(node))

    def standings(self) -> tuple[Standing, ...]:
        """Return how it stands with all nodes but the client."""
        return tuple(map(self._frames.standing, range(len(self.crew.nodes))))

    def close(self) -> None:
        """End all frames; jobs under way come to an end."""
        self._closed = True
        for frame in list(self._settles):
            settle, _ = self._settles[frame]
            self.cancel(frame)
            settle(WorkerError("the cluster was closed before the frame was done"))

    def handle(self, event: Any) -> None:
        """Take an event of the client's node: kind, frame, node, text, tensors."""
        kind, frames = event[0], self._frames
        if kind == "done":
            self._carry_out(frames.done(event[1], event[4:]))
        elif kind == "failed":
            self._carry_out(frames.failed(event[1], event[2], str(event[3])))
        elif kind == "lost":
            self._broken |= event[2] == self._connecting
            if event[2] not in self.router.lost:  # what others ask of it now must not take long
                self.crew.nodes[event[2]].cut()
            self._carry_out(frames.lost(event[2], str(event[3])))
        elif kind == "link":
            peer = self.crew.names.index(str(event[3]))
            self._broken |= self._connecting in (event[2], peer)
            self._carry_out(frames.link(event[2], peer))
        else:
            raise AssertionError(f"an event of an unknown kind: {kind}")

    def apply(self, stimulus: Stimulus) -> None:
        """Take what a job has come to."""
        self._carry_out(stimulus(self._frames))

    def keep(self, name: str, arrays: Sequence[Array], node: int) -> None:
        """Give a node inputs that frames may begin with; it has them again when it is restored."""
        check_inputs(self.plan, arrays)
        self.crew.nodes[node].keep(name, arrays)
        self._kept[node, name] = tuple(arrays)

    def statistics(self) -> Statistics:
        """Ask all nodes what they have done since the last time; talks to nodes, as jobs do.

        Raises
        ------
        WorkerError
            A node's counters are none.
        """
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        found = self._ask(ended)
        end = time.monotonic() + SETTLE_S
        while not found.holds_all(len(self.plan.tasks)) and time.monotonic() < end:
            time.sleep(ASK_AGAIN_S)
            found = joined((found, self._ask(())))
        return found

    def _ask(self, ended: Iterable[Ended]) -> Statistics:
        counters: dict[int, Counters] = {}
        for number, node in enumerate((*self.crew.nodes, self.crew.client)):
            if number in self.router.lost:
                continue
            asked_ns = time.monotonic_ns()
            with suppress(WorkerError):  # it was lost just now, and will be told to be
                values = counters[number] = node.stats()
                self._clocks.guess(number, values["now_ns"], asked_ns, time.monotonic_ns())
        self._clocks.tell(counters[len(self.crew.nodes)]["clocks"])
        names = Names(self.crew.names, [task.name for task in self.plan.tasks])
        return read_counters(names, ended, counters, self._clocks)

    def _carry_out(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Begin():
                    self._begin_frame(order)
                case Done(frame, outputs):
                    self._end_frame(frame, tuple(map(np.from_dlpack, outputs)))
                case Fail(frame, error):
                    self._end_frame(frame, error)
                case End(number):
                    self._end(number)
                case Announce(route):
                    self._start(lambda route=route: self._announce(route))  # type: ignore[misc]
                case Restore(node):
                    self._start(lambda node=node: self._restore(node))  # type: ignore[misc]

    def _end_frame(self, frame: Frame, outcome: Outputs | WorkerError) -> None:
        settle, submitted = self._settles.pop(frame)
        took_ms = (time.perf_counter() - submitted) * 1e3
        reason = str(outcome) if isinstance(outcome, WorkerError) else ""
        self._ended.append(Ended(frame.number, took_ms, frame.attempts, reason))
        settle(outcome)

    def _begin_frame(self, order: Begin) -> None:
        inputs = order.frame.inputs
        try:
            self._begin(order.number, order.route.id, inputs.kept, *inputs.tensors)
        except (RuntimeError, ValueError) as error:
            reason = str(near_error(error))
            self._carry_out(self._frames.failed(order.number, order.route.source, reason))

    def _peers(self, numbers: Iterable[int]) -> list[tuple[int, str, int]]:
        hosts = self.crew.hosts
        return [(n, hosts[n], self._ports[n]) for n in numbers if n not in self.router.lost]

    def _tell(self, route: Route) -> Mapping[int, str]:
        """Tell all nodes that are there a route; return why some could not be told."""
        text = route.json()
        failed: dict[int, str] = {}
        for number, node in enumerate(self.crew.nodes):
            if number in self.router.lost:
                continue
            try:
                node.route(text)
            except WorkerError as error:
                failed[number] = str(error)
        self.crew.client.route(text)
        return failed

    def _announce(self, route: Route) -> Stimulus:
        failed = self._tell(route)

        def stimulus(frames: Frames) -> list[Order]:
            lost = chain.from_iterable(frames.lost(node, text) for node, text in failed.items())
            return [*lost, *frames.announced([route])]

        return stimulus

    def _restore(self, number: int) -> Stimulus:
        """Get a node back: a new session, the program, its kept inputs, its connections."""
        self.crew.nodes[number].cut()
        if self.settings.recovery_s <= 0:
            return lambda frames: frames.given_up(number, "nobody tries to get it back")
        end = time.monotonic() + self.settings.recovery_s
        while True:
            try:
                self._set_up(number)
                return lambda frames: self._restored(frames, number)
            except LcpError as error:
                unwanted = self._closed or self._frames.is_left_out(number)
                if unwanted or time.monotonic() > end:
                    reason = str(error)
                    return lambda frames: frames.given_up(number, reason)
            time.sleep(RETRY_S)

    def _restored(self, frames: Frames, number: int) -> list[Order]:
        """Take a node in, unless one of its new connections has broken already."""
        self._connecting = None
        if frames.is_left_out(number):
            self.crew.nodes[number].cut()
            return frames.restored(number)
        return [Restore(number)] if self._broken else frames.restored(number)

    def _set_up(self, number: int) -> None:
        crew, timeout_s = self.crew, self.settings.silence_s
        node = crew.nodes[number] = crew.restore(number)
        self._ports[number] = node.prepare(self._program.for_node(number))
        for (place, name), arrays in self._kept.items():
            if place == number:
                node.keep(name, arrays)
        self._connecting, self._broken = number, False
        node.connect(self._peers(range(number)), timeout_s)
        own = [(number, crew.hosts[number], self._ports[number])]
        for other in range(number + 1, len(crew.nodes)):
            if other not in self.router.lost:
                crew.nodes[other].connect(own, timeout_s)
        crew.client.connect(own, timeout_s)
        for route in self._frames.routes_of(number):  # whom it asks for work must be there
            node.route(route.json())
