"""Nodes of a plan in this process, whose functions are made up from their names."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm_ffi

from lcp_tvm import native
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.control import as_tensor
from lcp_tvm.rpc.crew import node_names
from lcp_tvm.rpc.program import Pace, Program, make_program
from lcp_tvm.rpc.routes import Route, Router

Array = npt.NDArray[Any]
Compute = Callable[[str, Sequence[Array]], Sequence[Array]]

RUN = 0x1234
WAIT_MS = 60_000
REAL_TIME = Pace(poll_ms=1)


def until(holds: Callable[[], bool], what: str) -> None:
    """Ask again and again, for a minute, whether something holds."""
    end = time.monotonic() + WAIT_MS / 1e3
    while not holds():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.001)


def made_up(plan: Plan) -> Compute:
    """Return functions whose results depend on every element of every argument."""

    def compute(name: str, arguments: Sequence[Array]) -> list[Array]:
        state = zlib.crc32(name.encode())
        for argument in arguments:
            values = np.asarray(argument).astype(np.int64).ravel()
            state = (state * 31 + int((values * (np.arange(values.size) + 1)).sum())) % 65_521
        results = []
        for result in plan.functions[name].results:
            size = int(np.prod(result.shape, dtype=np.int64))
            values = (np.arange(size) + state) % (2 if result.dtype == "bool" else 97)
            results.append(values.astype(result.dtype).reshape(result.shape))
            state += 1
        return results

    return compute


def a_frame(plan: Plan, seed: int = 0) -> dict[str, Array]:
    """Return inputs of a plan."""
    generator = np.random.default_rng(seed)
    frame = {}
    for name in plan.inputs:
        tensor = plan.tensors[name]
        high = 2 if tensor.dtype == "bool" else 97
        frame[name] = np.asarray(generator.integers(0, high, tensor.shape)).astype(tensor.dtype)
    return frame


def new_node(**changes: Any) -> Any:
    """Return a node's module, of one core."""
    options = {"cores": 1, "memory_bytes": 0, "files": "", "host": "127.0.0.1"}
    options |= {"silence_ms": 20_000} | changes
    native.load()
    return tvm_ffi.get_global_func("lcp_tvm.runtime.Node")(json.dumps(options))


class Nodes:
    """The nodes of a run, and what the orchestrator would do with them.

    Attributes
    ----------
    modules : of the devices, then the gateway's, then the client's.
    """

    def __init__(self, plan: Plan, machines: Machines, modules: list[Any]) -> None:
        self.plan = plan
        self.machines = machines
        self.modules = modules
        self.names = node_names(machines)
        self.reads = find_reads(plan)
        self.ports: dict[int, int] = {}
        self.compute = made_up(plan)
        self._frames = 0
        self._routes = 0

    @property
    def client(self) -> Any:
        return self.modules[-1]

    def program(self, pace: Pace = REAL_TIME, trace: bool = False) -> Program:
        return make_program(
            self.plan,
            self.reads,
            run=RUN,
            nodes=self.names,
            gateway=self.machines.gateway,
            pace=pace,
            trace=trace,
        )

    def bind(self, compute: Compute) -> None:
        """Have all nodes but the client compute the plan's functions so."""
        self.compute = compute
        for name in self.plan.functions:
            for module in self.modules[:-1]:
                module["bind"](name, as_function(compute, name))

    def open(self, pace: Pace = REAL_TIME, trace: bool = False) -> None:
        """Tell all nodes the program, and connect them."""
        program = self.program(pace, trace)
        for number, module in enumerate(self.modules):
            self.ports[number] = json.loads(module["prepare"](program.for_node(number)))["port"]
            self.connect(number, range(number))

    def restore(self, number: int) -> None:
        """Bring a node back that was lost, as the orchestrator does."""
        text = self.program().for_node(number)
        module = self.modules[number]
        for name in self.plan.functions:
            module["bind"](name, as_function(self.compute, name))
        self.ports[number] = json.loads(module["prepare"](text))["port"]
        self.connect(number, range(number))
        for other in range(number + 1, len(self.modules)):
            self.connect(other, [number])

    def connect(self, number: int, peers: Sequence[int]) -> None:
        addresses = [[peer, "127.0.0.1", self.ports[peer]] for peer in peers]
        self.modules[number]["connect"](json.dumps(addresses), 10_000)

    def route(self, policy: Policy, source: int = 0, turn: int = 0) -> Route:
        """Make a route, and tell it to all nodes."""
        router = Router(self.plan, self.reads, self.names, self.machines, policy)
        route = router.route(turn, source)
        route = Route(self._routes, source, route.places, route.devices, policy)
        self._routes += 1
        for module in self.modules:
            module["route"](route.json())
        return route

    def begin(self, route: Route, inputs: Mapping[str, Array], name: str = "") -> int:
        """Begin a frame; its number."""
        number, self._frames = self._frames, self._frames + 1
        tensors = [] if name else [as_tensor(inputs[key]) for key in self.plan.inputs]
        self.client["begin"](number, route.id, name, *tensors)
        return number

    def next(self) -> list[Any]:
        """Return what happens next at the client: kind, frame, node, text, arrays."""
        event = self.client["next"](WAIT_MS)
        assert len(event) > 0, "nothing has happened"
        kind, frame, node, text, *tensors = event
        return [str(kind), frame, node, str(text), *map(np.from_dlpack, tensors)]

    def outputs(self) -> tuple[int, dict[str, Array]]:
        """Wait for a frame to be done; its number and outputs."""
        kind, frame, _, text, *arrays = self.next()
        assert kind == "done", text
        return frame, dict(zip(self.plan.outputs, arrays, strict=True))

    def stats(self, number: int) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.modules[number]["stats"]())
        return values

    def spans(self) -> list[list[list[Any]]]:
        """Return the timeline by node, once all data that was sent has come."""
        found: list[list[list[Any]]] = [[] for _ in self.modules]

        def all_came() -> bool:
            for number, spans in enumerate(found):
                spans += self.stats(number)["spans"]
            lanes = Counter(span[0] for spans in found for span in spans)
            return lanes["send"] == lanes["receive"] > 0

        until(all_came, "what was sent comes")
        return found


def aligned(array: Array) -> Array:
    """Return an array that begins where compiled code wants it, as its own results do."""
    if array.ctypes.data % 64 == 0:
        return array
    room = np.empty(array.nbytes + 64, np.uint8)
    begin = -room.ctypes.data % 64
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def as_function(compute: Compute, name: str) -> Any:
    """Return a function that nodes can call."""

    def call(*tensors: Any) -> list[Any]:
        results = compute(name, [np.from_dlpack(tensor) for tensor in tensors])
        return [as_tensor(aligned(np.asarray(result))) for result in results]

    return tvm_ffi.convert(call)


@contextmanager
def nodes(
    plan: Plan,
    devices: int,
    *,
    compute: Compute | None = None,
    own_gateway: bool = True,
    pace: Pace = REAL_TIME,
    trace: bool = False,
    silence_s: float = 20.0,
    **options: Any,
) -> Iterator[Nodes]:
    """Make nodes, connected, for the length of a ``with`` statement.

    Parameters
    ----------
    own_gateway : whether the gateway is a node of its own; else device 0 is.
    silence_s : after which the client takes a node for lost.
    options : of all nodes but the client.
    """
    machines = Machines(devices, devices if own_gateway else 0)
    with ExitStack() as stack:
        modules = []
        for _ in range(devices + own_gateway):
            modules.append(new_node(**options))
            stack.callback(modules[-1]["unload"])
        modules.append(new_node(cores=0, silence_ms=int(silence_s * 1e3)))
        stack.callback(modules[-1]["unload"])
        made = Nodes(plan, machines, modules)
        made.bind(compute or made_up(plan))
        made.open(pace, trace)
        yield made
