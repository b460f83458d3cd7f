"""Nodes that pretend: the client computes frames itself, and tests say what happens to nodes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import tvm_ffi

from lcp_tvm.errors import WorkerError
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.run import run_plan
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.control import NearNode, Node
from lcp_tvm.rpc.crew import Crew, node_names

Call = tuple[str, tuple[Any, ...]]
Compute = Callable[[str, Sequence[np.ndarray]], Sequence[np.ndarray]]


class FakeModule:
    """A node's functions; every call of one is written down.

    Attributes
    ----------
    failing : functions that raise, with their texts.
    counters : what `stats` answers.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.failing: dict[str, str] = {}
        self.counters: dict[str, Any] = {
            "late_ns": 0,
            "frames": [],
            "links": [],
            "clocks": [],
            "spans": [],
        }
        self.counters |= {"now_ns": 0, "held_bytes": 0, "peak_bytes": 0, "weight_bytes": 0}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if name in self.failing:
                raise RuntimeError(self.failing[name])
            return getattr(self, f"do_{name}", lambda *_: None)(*arguments)

        return call

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all calls of a function."""
        return [arguments for called, arguments in self.calls if called == name]

    def do_prepare(self, program: str) -> str:
        return json.dumps({"port": 7000 + json.loads(program)["node"]})

    def do_stats(self) -> str:
        text = json.dumps(self.counters)
        self.counters["frames"] = []
        return text


class FakeClient(FakeModule):
    """The client's node.

    Attributes
    ----------
    gate : frames are computed while it is set, and else when it is set again.
    """

    def __init__(self, plan: Plan, compute: Compute) -> None:
        super().__init__()
        self.plan = plan
        self.compute = compute
        self.events: SimpleQueue[list[Any]] = SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self.kept: dict[str, list[np.ndarray]] = {}
        self.held: list[tuple[int, list[np.ndarray]]] = []

    def do_begin(self, frame: int, route: int, name: str, *tensors: Any) -> None:
        arrays = self.kept[name] if name else [np.from_dlpack(tensor) for tensor in tensors]
        self.held.append((frame, arrays))
        if self.gate.is_set():
            self.release()

    def do_end(self, frame: int) -> None:
        self.held = [(number, arrays) for number, arrays in self.held if number != frame]

    def do_silent(self) -> str:
        return "[]"

    def do_next(self, timeout_ms: int) -> list[Any]:
        try:
            return self.events.get(timeout=timeout_ms / 1e3)
        except Empty:
            return []

    def release(self) -> None:
        """Compute the frames that are held."""
        self.gate.set()
        held, self.held = self.held, []
        for frame, arrays in held:
            inputs = dict(zip(self.plan.inputs, arrays, strict=True))
            outputs = run_plan(self.plan, self.compute, inputs)
            tensors = [tvm_ffi.from_dlpack(outputs[name]) for name in self.plan.outputs]
            self.events.put(["done", frame, -1, "", *tensors])


class FakeCrew:
    """A crew of pretending nodes for the length of a ``with`` statement.

    Attributes
    ----------
    nodes : modules by number; a node that is restored has another.
    reachable : nodes that can be restored.
    """

    def __init__(self, plan: Plan, compute: Compute, devices: int) -> None:
        self.machines = Machines(devices, devices)
        self.client = FakeClient(plan, compute)
        self.nodes = [FakeModule() for _ in range(devices + 1)]
        self.reachable = set(range(devices + 1))
        self.is_open = False

    def lose(self, node: int, reason: str = "killed") -> None:
        self.client.events.put(["lost", -1, node, reason])

    @contextmanager
    def crew(self) -> Iterator[Crew]:
        self.is_open = True
        names = node_names(self.machines)
        nodes: list[Node] = [NearNode(module) for module in self.nodes]
        hosts = ("127.0.0.1",) * len(nodes)
        client = NearNode(self.client)
        yield Crew(names, self.machines, nodes, hosts, client, self._restore)
        self.is_open = False

    def _restore(self, number: int) -> Node:
        if number not in self.reachable:
            raise WorkerError(f"worker {number}: nothing listens there")
        self.nodes[number] = FakeModule()
        return NearNode(self.nodes[number])
