"""What goes wrong: frames end right, or fail with a node and a reason; nodes go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.run import run_plan
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.control import as_tensor
from lcp_tvm.rpc.routes import Route
from tests.native.nodes import (
    RUN,
    WAIT_MS,
    Array,
    Compute,
    Nodes,
    a_frame,
    made_up,
    new_node,
    nodes,
    until,
)
from tests.plan.plans import branches, chain, reuse, tiles
from tests.rpc.raw_peer import SETTLED, Kind, RawPeer

GATEWAY, CLIENT = 2, 3


def first_wrong(plan: Plan, wrong: Compute) -> Compute:
    """Return functions of which the first call is another."""
    right, calls = made_up(plan), []

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        calls.append(name)
        return (wrong if len(calls) == 1 else right)(name, arguments)

    return compute


def raises(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
    raise ValueError("no luck")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (raises, "no luck"),
        (lambda name, arguments: [], "it gave 0 results, not 1"),
        (
            lambda name, arguments: [np.zeros((1, 16, 224, 223), np.float32)],
            "result 0 has shape [1, 16, 224, 223], not [1, 16, 224, 224]",
        ),
        (
            lambda name, arguments: [np.zeros((1, 16, 224, 224), np.int32)],
            "result 0 has type int32, not float32",
        ),
    ],
    ids=["raises", "no result", "another shape", "another type"],
)
def test_a_function_that_fails_fails_its_frame_alone(wrong: Compute, reason: str) -> None:
    plan = chain(2)
    with nodes(plan, 2, compute=first_wrong(plan, wrong)) as some:
        route = some.route("static")
        frame = some.begin(route, a_frame(plan))
        kind, number, node, text = some.next()
        assert (kind, number, node) == ("failed", frame, 0)
        assert text == f"task 'stage0': {reason}"
        check_frame(some, route_of="static")


def holds_nothing(some: Nodes) -> bool:
    return not any(some.stats(node)["held_bytes"] for node in range(CLIENT))


def check_frame(some: Nodes, route_of: str, source: int = 0) -> None:
    plan = some.plan
    some.begin(some.route(route_of, source), a_frame(plan, 3))  # type: ignore[arg-type]
    _, outputs = some.outputs()
    for name, wanted in run_plan(plan, made_up(plan), a_frame(plan, 3)).items():
        np.testing.assert_array_equal(outputs[name], wanted)


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
def test_a_frame_that_is_ended_leaves_nothing_behind(policy: str) -> None:
    """Its tasks are under way when it ends; what they give goes nowhere."""
    plan = reuse(2, 2) if policy == "stealing" else tiles(2, 2)
    begun, gate = threading.Event(), threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        begun.set()
        gate.wait(60)
        return made_up(plan)(name, arguments)

    with nodes(plan, 2, compute=compute) as some:
        frame = some.begin(some.route(policy), a_frame(plan))  # type: ignore[arg-type]
        assert begun.wait(60)
        some.client["end"](frame)
        some.client["end"](frame)
        gate.set()
        check_frame(some, policy)
        assert len(some.client["next"](0)) == 0
        until(lambda: holds_nothing(some), "nodes let go of the frame")


def test_a_frame_number_is_used_once() -> None:
    plan = tiles(2, 2)
    with nodes(plan, 2) as some:
        route = some.route("stealing")
        some.begin(route, a_frame(plan))
        some.outputs()
        with pytest.raises(RuntimeError, match="there has been a frame 0 already"):
            some.client["begin"](0, route.id, "camera")


@pytest.mark.parametrize("lost", [0, GATEWAY])
def test_a_node_that_is_gone_is_reported_by_the_client_and_its_peers(lost: int) -> None:
    """Then it is prepared anew, connected, and frames run as before."""
    plan = tiles(3, 3)
    with nodes(plan, 2) as some:
        check_frame(some, "stealing", source=1)
        some.modules[lost]["unload"]()
        events = [some.next() for _ in range(3)]
        others = {0, 1, GATEWAY} - {lost}
        name = some.names[lost]
        assert [event[2] for event in events if event[0] == "lost"] == [lost]
        assert {(event[2], event[3]) for event in events if event[0] == "link"} == {
            (other, name) for other in others
        }
        some.restore(lost)
        check_frame(some, "stealing", source=1)
        check_frame(some, "static")


def test_a_client_that_is_gone_leaves_no_frames() -> None:
    plan = tiles(2, 2)
    begun, gate = threading.Event(), threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        begun.set()
        gate.wait(60)
        return made_up(plan)(name, arguments)

    with nodes(plan, 2, compute=compute) as some:
        some.begin(some.route("stealing"), a_frame(plan))
        assert begun.wait(60)
        some.client["unload"]()
        gate.set()
        until(lambda: holds_nothing(some), "nodes let go of the frame")


def test_nodes_take_another_program() -> None:
    """As from the next orchestrator; what the first one has begun is forgotten."""
    first, second = branches(2), tiles(2, 2)
    gate = threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        gate.wait(60)
        return made_up(first)(name, arguments)

    with nodes(first, 2, compute=compute) as some:
        some.begin(some.route("static"), a_frame(first))
        gate.set()
        other = Nodes(second, some.machines, some.modules)
        other.bind(made_up(second))
        other.open()
        check_frame(other, "stealing")


def test_a_function_that_is_not_there() -> None:
    plan = tiles(2, 2)
    with nodes(plan, 1) as some:
        some.modules[0]["unload"]()
        some.modules[0]["prepare"](some.program().for_node(0))
        with pytest.raises(RuntimeError, match="task 'tile_0_0' is to run here, and function"):
            some.route("static")


def test_a_peer_of_another_run() -> None:
    plan = tiles(2, 2)
    with nodes(plan, 1) as some:
        program = some.program().for_node(2).replace(f"{RUN:016x}", f"{RUN + 1:016x}")
        some.modules[2]["prepare"](program)
        with pytest.raises(RuntimeError, match="run"):
            some.connect(2, [0])


@contextmanager
def a_client(plan: Plan) -> Iterator[tuple[Any, RawPeer]]:
    """A client of one device, which is a socket."""
    values = json.loads(Nodes(plan, Machines(1, 0), []).program().for_node(0))
    values |= {"nodes": ["client", "edge-0"], "client": 0, "gateway": 1}
    client = new_node(cores=0)
    port = json.loads(client["prepare"](json.dumps(values)))["port"]
    client["route"](Route(0, 1, (1,), (1,), "static").json())
    version = json.loads(client["hello"]())["version"]
    with RawPeer(port, run=RUN, node=1, to=0, version=version) as device:
        yield client, device
    client["unload"]()


def test_the_client_takes_nothing_of_frames_that_it_has_not_begun() -> None:
    plan = chain(1)
    (picture,) = a_frame(plan).values()
    result = np.ones((1, 16, 224, 224), np.float32)
    box = full_box(result.shape)
    with a_client(plan) as (client, device):

        def send_result(frame: int) -> None:
            fields = {"word": SETTLED, "tensor": 1, "box": box, "payload": result.tobytes()}
            device.say(Kind.REGION, frame=frame, **fields)

        device.say(Kind.FAILED, frame=7, word=1, payload=b"no")
        send_result(8)
        device.say(Kind.PING, frame=1)
        device.hear_of((Kind.PONG,), 1)  # what was said before has been dealt with
        for frame in (7, 8):
            client["begin"](frame, 0, "", as_tensor(picture))
            device.hear_of((Kind.INPUT,), frame)
            send_result(frame)
            kind, number, _, text, *outputs = client["next"](WAIT_MS)
            assert (str(kind), number) == ("done", frame), text
            assert np.array_equal(np.from_dlpack(outputs[0]), result)


def test_who_answers_no_ping_is_silent_long_before_it_is_lost() -> None:
    with a_client(chain(1)) as (client, device):
        client["connect"](json.dumps([[1, "", 1]]), WAIT_MS)
        assert json.loads(client["silent"]()) == []
        until(lambda: json.loads(client["silent"]()) == [1], "the device is noticed")

        def is_heard() -> bool:
            device.say(Kind.PONG, payload=bytes(8))  # again, as who looks late finds it silent
            return not json.loads(client["silent"]())

        until(is_heard, "the device is heard")
        assert len(client["next"](0)) == 0
