"""Frames through real nodes in this process: numbers, order, statistics and timeline."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from lcp_tvm.errors import WorkerError
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.plan.run import run_plan
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.cluster import Cluster, Kept
from lcp_tvm.rpc.control import NearNode, Node
from lcp_tvm.rpc.crew import Crew, node_names
from lcp_tvm.rpc.program import Pace
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.statistics import timeline
from tests.native.nodes import Compute, a_frame, as_function, made_up, new_node
from tests.plan.plans import branches, reuse, tiles

DEVICES = 3
QUICK = Pace(poll_ms=1)
HEAD = 48 + 4 * 8
"""Bytes of a message before its elements: header and a box of four dimensions."""

NAMES = ("edge-0", "edge-1", "edge-2", "gateway", "client")


def nobody(number: int) -> Node:
    raise WorkerError(f"node {number} cannot be restored")


@contextmanager
def near_crew(plan: Plan, compute: Compute | None = None) -> Iterator[Crew]:
    """Devices and a gateway in this process."""
    machines = Machines(DEVICES, DEVICES)
    with ExitStack() as stack:
        client = NearNode.make()
        stack.callback(client.close)
        nodes: list[Node] = []
        for _ in range(DEVICES + 1):
            node = NearNode(new_node())
            stack.callback(node.close)
            for name in plan.functions:
                node.call("bind", name, as_function(compute or made_up(plan), name))
            nodes.append(node)
        hosts = ("127.0.0.1",) * len(nodes)
        yield Crew(node_names(machines), machines, nodes, hosts, client, nobody)


def inputs_of(plan: Plan, count: int) -> list[list[np.ndarray]]:
    return [[a_frame(plan, seed)[name] for name in plan.inputs] for seed in range(count)]


def check(plan: Plan, x: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
    """See whether outputs are those of the reference."""
    expected = run_plan(plan, made_up(plan), dict(zip(plan.inputs, x, strict=True)))
    for name, found in zip(plan.outputs, outputs, strict=True):
        np.testing.assert_array_equal(found, expected[name])


@pytest.mark.parametrize("sources", [(), (0, 1, 2)])
@pytest.mark.parametrize(
    ("plan", "policy"),
    [
        (branches(3), "static"),
        (tiles(2, 3), "static"),
        (tiles(2, 3), "sharing"),
        (reuse(2, 3), "stealing"),
    ],
)
def test_a_stream_gives_the_numbers_of_the_reference(
    plan: Plan, policy: Policy, sources: tuple[int, ...]
) -> None:
    frames = inputs_of(plan, 12)
    settings = Settings(policy=policy, sources=sources, pace=QUICK)

    async def main() -> None:
        async with Cluster.on(plan, near_crew(plan), settings) as cluster:
            done = 0
            async for outputs in cluster.stream(frames):
                check(plan, frames[done], outputs)
                done += 1
            assert done == len(frames)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_inputs_that_a_source_keeps() -> None:
    plan = tiles(2, 3)
    (x,) = inputs_of(plan, 1)
    with BlockingCluster.on(plan, near_crew(plan), Settings(pace=QUICK)) as cluster:
        cluster.keep("camera", x, source=1)
        for _ in range(3):
            check(plan, x, cluster.infer(Kept("camera"), source=1))


def test_a_function_that_fails_is_told_with_its_device() -> None:
    plan = branches(3)

    def compute(name: str, arguments: Sequence[Any]) -> Sequence[Any]:
        if name == "branch1":
            raise ValueError("there is no branch here")
        return made_up(plan)(name, arguments)

    (x,) = inputs_of(plan, 1)
    with BlockingCluster.on(plan, near_crew(plan, compute), Settings(pace=QUICK)) as cluster:
        for _ in range(2):
            with pytest.raises(WorkerError, match=r"edge-1: .*there is no branch here"):
                cluster.infer(x)


def test_what_every_node_did_for_every_frame() -> None:
    plan = branches(3)
    with BlockingCluster.on(plan, near_crew(plan), Settings(trace=True)) as cluster:
        for outputs in cluster.stream(inputs_of(plan, 5)):
            assert len(outputs) == 1
        found = cluster.stats()
        assert cluster.stats().uses == ()
    assert [frame.reason for frame in found.frames] == [""] * 5
    tasks = {(use.frame, use.device): use.tasks for use in found.uses}
    assert tasks == {(frame, name): 1 for frame in range(5) for name in NAMES[:-1]}
    received = {use.device: use.received_bytes for use in found.uses}
    assert received["gateway"] == 3 * (HEAD + 4 * 8 * 8 * 8)
    assert received["edge-1"] == HEAD + 4 * 3 * 32 * 32
    assert [memory.device for memory in found.memory] == list(NAMES[:-1])
    spans = timeline(found.spans)
    computed = [span.name for span in spans if span.lane == "compute"]
    assert Counter(computed) == {task.name: 5 for task in plan.tasks}
    assert {span.device for span in spans} == set(NAMES)
    assert min(span.start_us for span in spans) == 0.0
