"""What nodes are told of a plan."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lcp_tvm.plan.box import Box
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.program import Pace, make_program
from tests.plan.plans import branches, reuse, tiles, with_task

REAL = Pace()


def program_of(plan: Plan, pace: Pace = REAL) -> dict[str, Any]:
    nodes = [*(f"edge-{number}" for number in range(plan.devices)), "gateway", "client"]
    program = make_program(
        plan, find_reads(plan), run=0xAB, nodes=nodes, gateway=plan.devices, pace=pace
    )
    values: dict[str, Any] = json.loads(program.for_node(1))
    return values


def flat(box: Box) -> list[int]:
    return [end for side in box for end in side]


def test_branches_and_a_head() -> None:
    """The whole program of a small plan."""
    found = program_of(branches(2))
    image, part = [0, 1, 0, 3, 0, 32, 0, 32], [0, 1, 0, 8, 0, 8, 0, 8]
    plan = branches(2)
    peaks = {name: function.cost.peak_bytes for name, function in plan.functions.items()}
    assert found == {
        "format": 1,
        "run": "00000000000000ab",
        "node": 1,
        "nodes": ["edge-0", "edge-1", "gateway", "client"],
        "gateway": 2,
        "client": 3,
        "tensors": [
            ["float32", [1, 3, 32, 32]],
            ["float32", [1, 8, 8, 8]],
            ["float32", [1, 8, 8, 8]],
            ["float32", [1, 10]],
        ],
        "inputs": [0],
        "outputs": [3],
        "functions": [{"name": name, "peak_bytes": peaks[name]} for name in peaks],
        "tasks": [
            {
                "name": "branch0",
                "function": 0,
                "needs": -1,
                "reads": [[0, image, [[-1, image]]]],
                "writes": [[1, part]],
                "fallback": None,
            },
            {
                "name": "branch1",
                "function": 1,
                "needs": -1,
                "reads": [[0, image, [[-1, image]]]],
                "writes": [[2, part]],
                "fallback": None,
            },
            {
                "name": "head",
                "function": 2,
                "needs": -1,
                "reads": [[1, part, [[0, part]]], [2, part, [[1, part]]]],
                "writes": [[3, [0, 1, 0, 10]]],
                "fallback": None,
            },
        ],
        "collect": [[3, [0, 1, 0, 10], [[2, [0, 1, 0, 10]]]]],
        "pace_ms": [],
        "poll_ms": 100,
        "patience_ms": 10_000,
        "trace": False,
    }


def test_a_read_that_several_tasks_write_has_a_piece_of_each() -> None:
    plan = tiles(2, 2)
    tensor, box, pieces = program_of(plan)["tasks"][4]["reads"][0]
    assert (tensor, box) == (1, [0, 1, 0, 16, 0, 16, 0, 16])
    assert pieces == [[n, flat(plan.tasks[n].writes[0].box)] for n in range(4)]


def test_a_fallback_reads_its_own_way() -> None:
    plan = reuse(1, 2)
    task = program_of(plan)["tasks"][1]
    assert plan.tasks[1].fallback is not None
    alone = list(plan.functions).index(plan.tasks[1].fallback.function)
    assert task["fallback"]["function"] == alone
    (read,) = task["fallback"]["reads"]
    assert [producer for producer, _ in read[2]] == [-1]
    assert len(task["reads"]) == 2


def test_a_task_that_needs_some_of_its_reads() -> None:
    assert program_of(with_task(branches(3), 3, needs=2))["tasks"][3]["needs"] == 2


def test_the_pace_of_emulated_boards() -> None:
    pace = Pace(board_ms=((1.5, 2.0, 0.5),), poll_ms=7, patience_ms=0)
    found = program_of(branches(2), pace)
    assert (found["pace_ms"], found["poll_ms"], found["patience_ms"]) == ([[1.5, 2.0, 0.5]], 7, 0)


def test_nodes_differ_in_their_number_alone() -> None:
    plan = branches(2)
    nodes = ["a", "b", "c", "client"]
    program = make_program(plan, find_reads(plan), run=1, nodes=nodes, gateway=2, pace=REAL)
    first, last = (json.loads(program.for_node(number)) for number in (0, 3))
    assert first["node"] == 0
    assert last == {**first, "node": 3}


def test_names_of_any_letters() -> None:
    plan = replace(branches(2), name="größe")
    renamed = with_task(plan, 0, name='branch "0"')
    assert program_of(renamed)["tasks"][0]["name"] == 'branch "0"'
