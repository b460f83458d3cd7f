"""Where tasks run is settled beforehand: a task runs when all that it reads is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lcp_tvm.plan.pieces import Reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.board import Board, Call
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.predict.frame import Frame
from lcp_tvm.predict.placement import machines_of, place_earliest
from lcp_tvm.predict.simulation import Load, Simulation
from lcp_tvm.predict.wiring import Message, Wiring, wire


@dataclass(frozen=True, slots=True)
class Route:
    """The machines of tasks, and the messages between them."""

    places: tuple[int, ...]
    wiring: Wiring


class FlowFrame(Frame):
    """A frame, its messages, and what each task still waits for.

    Attributes
    ----------
    pending : by slot of the wiring, arrivals still to come.
    held_bytes : by task, what has come for it; for the outputs, what the gateway collects.
    """

    __slots__ = ("held_bytes", "pending", "route")

    def __init__(self, number: int, source: int, arrived_ms: float, route: Route) -> None:
        super().__init__(number, source, arrived_ms)
        self.route = route
        self.pending = list(route.wiring.pending)
        self.held_bytes = [0] * (len(route.places) + 1)


class FlowSimulation(Simulation[FlowFrame]):
    """Static assignment.

    Attributes
    ----------
    relay : whether everything between two machines passes the gateway.
    """

    relay: ClassVar[bool] = False

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
        super().__init__(cluster, load, seed, trace)
        self.plan = plan
        self.cluster = cluster
        self.reads = reads
        self.machines = machines_of(cluster)
        self.gateway = cluster.gateway_number
        self._outputs = len(plan.tasks)
        self._routes: dict[tuple[int, int], Route] = {}
        self._calls: dict[tuple[int, int, bool], Call] = {}

    def frame(self, number: int, source: int, arrived_ms: float) -> FlowFrame:
        """Return a new frame; replicas take turns."""
        return FlowFrame(number, source, arrived_ms, self.route(self.replica(number), source))

    def begin(self, frame: FlowFrame) -> None:
        wiring = frame.route.wiring
        self.boards[frame.source].hold(wiring.input_bytes)
        for message in wiring.first:
            self.send(message, frame, message.source)

    def done(self, board: Board, call: Call, frame: FlowFrame) -> None:
        for message in frame.route.wiring.after[call.task]:
            self.send(message, frame, board.number)

    def replica(self, number: int) -> int:
        """Return the group of machines that a frame is for."""
        return number % self.plan.replicas

    def route(self, replica: int, source: int) -> Route:
        """Return where the frames of a source go; worked out once."""
        key = (replica, source)
        if key not in self._routes:
            places = self.places(replica, source)
            wiring = wire(self.plan, self.reads, places, source, self.gateway, relay=self.relay)
            self._routes[key] = Route(tuple(places), wiring)
        return self._routes[key]

    def places(self, replica: int, source: int) -> list[int]:
        """Return the machine of every task."""
        return place_earliest(self.plan, self.cluster, self.reads, replica, source)

    def call(self, task: int, machine: int, *, fallback: bool = False) -> Call:
        """Return what a machine does for a task; worked out once."""
        key = (task, machine, fallback)
        if key not in self._calls:
            self._calls[key] = _call(self.plan, self.cluster, task, machine, fallback)
        return self._calls[key]

    def send(self, message: Message, frame: FlowFrame, source: int) -> None:
        """Send a message to its target; within a machine it is there at once."""
        if source == message.target:
            self._deliver(message, frame)
        else:
            self.transmit(message, frame, source)

    def transmit(self, message: Message, frame: FlowFrame, source: int) -> None:
        """Have a message leave for another machine."""
        self.put(message, frame, source)

    def put(self, message: Message, frame: FlowFrame, source: int) -> float:
        """Put a message on the network; when it has left its sender."""
        target, nbytes, name = message.target, message.nbytes, message.name
        return self.links.send(source, target, nbytes, name, self.arrived, (message, frame))

    def arrived(self, arrival: tuple[Message, FlowFrame]) -> None:
        """Take a message from the network."""
        self._deliver(*arrival)

    def pass_on(self, message: Message, frame: FlowFrame) -> None:
        """Send on what a message has brought."""
        for onward in message.onward:
            self.send(onward, frame, message.target)

    def start(self, task: int, frame: FlowFrame) -> None:
        """Run a task that has all that it reads."""
        machine = frame.route.places[task]
        self.boards[machine].submit(self.call(task, machine), frame, frame.held_bytes[task])

    def keep(self, frame: FlowFrame, task: int, machine: int, nbytes: int) -> None:
        """Keep data in a machine's memory until a task starts or the outputs are complete."""
        if frame.pending[task] > 0:
            self.boards[machine].hold(nbytes)
            frame.held_bytes[task] += nbytes

    def _deliver(self, message: Message, frame: FlowFrame) -> None:
        if message.nbytes:
            self.keep(frame, message.holder, message.target, message.nbytes)
        pending = frame.pending
        for slot in message.slots:
            pending[slot] -= 1
            if pending[slot] == 0:
                self._filled(slot, frame)
        if message.onward:
            self.pass_on(message, frame)

    def _filled(self, slot: int, frame: FlowFrame) -> None:
        """Go on where all has come that was waited for."""
        if slot < self._outputs:
            self.start(slot, frame)
        elif slot == self._outputs:
            self.boards[self.gateway].hold(-frame.held_bytes[slot])
            self.boards[frame.source].hold(-frame.route.wiring.input_bytes)
            self.finish(frame)
        else:
            task = frame.route.wiring.parents[slot - self._outputs - 1]
            frame.pending[task] -= 1
            if frame.pending[task] == 0:
                self._filled(task, frame)


def _call(plan: Plan, cluster: Cluster, number: int, machine: int, fallback: bool) -> Call:
    task = plan.tasks[number]
    name = task.fallback.function if fallback and task.fallback is not None else task.function
    function = plan.functions[name]
    ms = call_ms(function, cluster.machines[machine])
    cost = function.cost
    return Call(number, task.name, name, ms, cost.macs, cost.peak_bytes, fallback)
