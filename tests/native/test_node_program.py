"""Programs and routes that nodes refuse, with what is wrong with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lcp_tvm.predict.placement import Machines
from tests.native.nodes import Nodes, new_node, nodes
from tests.plan.plans import branches, chain, reuse, strips

Change = Callable[[dict[str, Any]], None]


def program_of(plan: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(Nodes(plan, Machines(2, 2), []).program().for_node(0))
    return values


def at(*path: Any, to: Any) -> Change:
    """Return a change of one value."""

    def change(values: Any) -> None:
        *way, last = path
        for key in way:
            values = values[key]
        values[last] = to

    return change


IMAGE = [0, 1, 0, 3, 0, 32, 0, 32]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (at("format", to=2), "key 'format' is 2, allowed are 1 to 1"),
        (at("run", to="0" * 15), "the run is '000000000000000', not 16 hex digits"),
        (at("run", to="G" * 16), "not 16 hex digits"),
        (at("node", to=4), "key 'node' is 4, allowed are 0 to 3"),
        (at("gateway", to=-1), "key 'gateway' is -1"),
        (at("client", to="2"), "key 'client' must be an integer"),
        (at("nodes", 1, to=7), "a node's name is no text"),
        (at("tensors", 0, 0, to="float64"), "tensor 0 has a type that is not known"),
        (at("tensors", 0, 1, to=[1] * 9), "tensor 0 has 9 dimensions; at most 8"),
        (at("tensors", 0, 1, 2, to=0), "tensor 0's size is 0; allowed are 1 to"),
        (at("tensors", 0, 1, to=[1 << 20, 1 << 20]), "tensor 0 has more than 2147483648 bytes"),
        (at("inputs", to=[]), "the program has no inputs, or no outputs"),
        (at("inputs", to=[9]), "key 'inputs' is 9"),
        (at("outputs", to=[3, 3]), "collect has 1 reads for 2 outputs"),
        (at("functions", 0, "peak_bytes", to=-1), "key 'peak_bytes' is -1"),
        (at("tasks", 0, "function", to=3), "key 'function' is 3, allowed are 0 to 2"),
        (at("tasks", 0, "reads", 0, 0, to=7), "task 'branch0''s tensor is 7; allowed are 0 to 3"),
        (at("tasks", 0, "reads", 0, 1, to=IMAGE[:6]), "task 'branch0' has 6 values, not 8"),
        (at("tasks", 0, "reads", 0, 1, 7, to=33), "task 'branch0' is 33; allowed are 1 to 32"),
        (at("tasks", 0, "reads", 0, 1, 6, to=32), "task 'branch0' is 32; allowed are 0 to 31"),
        (at("tasks", 0, "reads", 0, 2, to=[]), "have 0 elements, not 3072"),
        (at("tasks", 0, "reads", 0, 2, 0, 0, to=0), "task 'branch0''s producer is 0"),
        (at("tasks", 2, "reads", 0, 2, 0, 0, to=1), "producer 1 does not write"),
        (at("tasks", 2, "reads", 0, 2, 0, 0, to=-1), "producer -1 does not write"),
        (at("tasks", 0, "writes", 0, 1, 3, to=9), "task 'branch0' is 9; allowed are 1 to 8"),
        (at("tasks", 2, "needs", to=3), "key 'needs' is 3, allowed are -1 to 2"),
        (at("tasks", 2, "needs", to=0), "task 'head' needs 0 of its reads"),
        (at("collect", 0, 2, to=[]), "collect: the pieces of [0:1, 0:10] have 0 elements, not 10"),
        (at("pace_ms", to=[[1.0]]), "pace_ms has 1 values, not 3"),
        (at("pace_ms", to=[[1.0, -1.0, 1.0]]), "a pace is no number of 0 to 1e9 ms"),
        (at("poll_ms", to=0), "key 'poll_ms' is 0"),
        (at("trace", to=1), "key 'trace' must be true or false"),
    ],
    ids=lambda value: value if isinstance(value, str) else "change",
)
def test_what_is_wrong_with_a_program(change: Change, reason: str) -> None:
    values = program_of(branches(2))
    change(values)
    with nodes(chain(1), 1) as some, pytest.raises(RuntimeError) as failure:
        some.modules[0]["prepare"](json.dumps(values))
    assert "[lcp-node] " in str(failure.value)
    assert reason in str(failure.value)


def test_a_task_that_needs_some_of_its_reads_has_no_fallback() -> None:
    values = program_of(reuse(2, 2))
    (task,) = [t for t in values["tasks"] if t["name"] == "tile_0_1"]
    task["needs"] = 1
    with nodes(chain(1), 1) as some, pytest.raises(RuntimeError, match="without a fallback"):
        some.modules[0]["prepare"](json.dumps(values))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 1}', "\0", "[" * 100],
    ids=["nothing", "an array", "half", "another object", "a zero byte", "too deep"],
)
def test_what_is_no_program(text: str) -> None:
    with nodes(chain(1), 1) as some, pytest.raises(RuntimeError, match=r"\[lcp-node\] program"):
        some.modules[0]["prepare"](text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy": "luck"}, "policy 'luck'; known are static, sharing, stealing"),
        ({"source": 4}, "key 'source' is 4"),
        ({"places": [0, 1]}, "2 places for 3 tasks"),
        ({"places": [0, 1, 4]}, "key 'places' is 4"),
        ({"places": [0, -1, 2]}, "key 'places' is -1"),
        ({"places": [-1, -1, 2], "policy": "stealing", "devices": []}, "and no devices"),
        ({"devices": [9]}, "key 'devices' is 9"),
        ({"id": -1}, "key 'id' is -1"),
        ({"id": 0}, "there is one of id 0 already"),
    ],
    ids=lambda value: value if isinstance(value, str) else "change",
)
def test_what_is_wrong_with_a_route(changes: dict[str, Any], reason: str) -> None:
    with nodes(branches(2), 2) as some:
        values = json.loads(some.route("static").json()) | {"id": 1} | changes
        with pytest.raises(RuntimeError) as failure:
            some.client["route"](json.dumps(values))
    assert reason in str(failure.value)


def test_what_asks_for_a_program_first() -> None:
    with nodes(chain(1), 1):
        module = new_node()
        for name, arguments in (("route", ("{}",)), ("stats", ()), ("next", (0,)), ("end", (0,))):
            with pytest.raises(RuntimeError, match="the node has no program; prepare it first"):
                module[name](*arguments)


def test_frames_are_begun_by_the_client_with_the_inputs_of_the_plan() -> None:
    with nodes(branches(2), 2) as some:
        route = some.route("static")
        for number, reason in ((0, "only the client begins frames"), (-1, "0 inputs for a plan")):
            with pytest.raises(RuntimeError, match=reason):
                some.modules[number]["begin"](0, route.id, "camera" if number == 0 else "")
        with pytest.raises(RuntimeError, match="there is no route 7"):
            some.client["begin"](0, 7, "camera")


def test_a_plan_of_thousands_of_tasks_is_read_at_once() -> None:
    """5,000 tasks with 15,000 pieces; bounds are far above what it takes."""
    plan = strips(500, 10)
    with nodes(chain(1), 1) as some:
        large = Nodes(plan, Machines(1, 1), some.modules)
        program = large.program().for_node(0)
        begin = time.perf_counter()
        some.modules[0]["prepare"](program)
        assert time.perf_counter() - begin < 2
        large.bind(large.compute)
        begin = time.perf_counter()
        some.modules[1]["prepare"](large.program().for_node(1))
        some.modules[2]["prepare"](large.program().for_node(2))
        large.route("static")
        assert time.perf_counter() - begin < 10
