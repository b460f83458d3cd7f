"""What nodes count, and the pace of the boards that they play."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from lcp_tvm.cpu.processor import this_processor
from lcp_tvm.rpc.program import Pace
from tests.native.nodes import Array, Nodes, a_frame, made_up, nodes, until
from tests.plan.plans import branches, reuse, tiles

FIELDS = (
    "frame",
    "first_ns",
    "last_ns",
    "compute_ns",
    "transfer_ns",
    "sent_bytes",
    "received_bytes",
    "tasks",
    "stolen",
    "fallbacks",
)


def frame_rows(some: Nodes, node: int, count: int) -> list[dict[str, int]]:
    """Return what a node says of so many frames, once it says it."""
    rows: list[dict[str, int]] = []

    def all_ended() -> bool:
        rows.extend(dict(zip(FIELDS, row, strict=True)) for row in some.stats(node)["frames"])
        return len(rows) >= count

    until(all_ended, f"node {node} ends {count} frames")
    return rows


def run_frames(some: Nodes, policy: str, count: int) -> None:
    route = some.route(policy)  # type: ignore[arg-type]
    for turn in range(count):
        some.begin(route, a_frame(some.plan, turn))
        some.outputs()


def test_frames_are_counted_once() -> None:
    """What comes is more than one read takes, so that it takes time."""
    plan = tiles(2, 2, side=64, devices=2)
    with nodes(plan, 2) as some:
        run_frames(some, "static", 3)
        for node, tasks in ((0, 2), (1, 2), (2, 1)):
            rows = frame_rows(some, node, 3)
            assert [row["frame"] for row in rows] == [0, 1, 2]
            for row in rows:
                assert row["tasks"] == tasks
                assert row["stolen"] == row["fallbacks"] == 0
                assert 0 < row["compute_ns"] <= row["last_ns"] - row["first_ns"]
                assert 0 < row["transfer_ns"] <= row["last_ns"] - row["first_ns"]
            assert some.stats(node)["frames"] == []


def test_bytes_come_and_go() -> None:
    """The source gets the image, and passes it on; branches and scores go to their readers."""
    plan = branches(2)
    image, branch, scores = (plan.tensors[name].nbytes for name in ("image", "branch0", "scores"))
    head = 48 + 4 * 8
    gate = threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        if name == "head":
            gate.wait(60)
        return made_up(plan)(name, arguments)

    def has_left() -> bool:
        return [2, branch + head] in [link[:2] for link in some.stats(1)["links"]]

    with nodes(plan, 2, compute=compute) as some:
        some.begin(some.route("static"), a_frame(plan))
        until(has_left, "the branch leaves")  # the end of a frame may overtake what is told of it
        gate.set()
        some.outputs()
        source, other, gateway = (frame_rows(some, node, 1)[0] for node in range(3))
    assert source["received_bytes"] == image + head
    assert other["received_bytes"] == image + head
    assert other["sent_bytes"] == branch + head
    assert gateway["received_bytes"] == 2 * (branch + head)
    assert gateway["sent_bytes"] in (0, scores + 48 + 2 * 8)  # counted when the last byte has left


def test_stolen_tasks_are_counted_where_they_run() -> None:
    """Nobody computes alone: a task of each device must have begun."""
    plan = tiles(4, 4)
    calls, all_begun = itertools.count(), threading.Barrier(3)

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        if next(calls) < all_begun.parties:
            all_begun.wait(60)
        return made_up(plan)(name, arguments)

    with nodes(plan, 3, compute=compute) as some:
        run_frames(some, "stealing", 1)
        rows = [frame_rows(some, node, 1)[0] for node in range(3)]
    assert sum(row["tasks"] for row in rows) == 16
    assert rows[0]["stolen"] == 0
    for row in rows[1:]:
        assert row["stolen"] == row["tasks"] >= 1


def test_spans_tell_what_happened_when() -> None:
    plan = branches(2)
    with nodes(plan, 2, trace=True) as some:
        before = time.monotonic_ns()
        run_frames(some, "static", 1)
        spans = some.spans()
        after = time.monotonic_ns()
    lanes = [[span[0] for span in sorted(of_node, key=lambda s: s[4])] for of_node in spans]
    assert lanes[1] == ["receive", "compute", "send"]
    for lane, frame, task, peer, begin, end, nbytes in spans[1]:
        assert before <= begin <= end <= after
        assert frame == 0
        wanted: dict[str, tuple[Any, ...]] = {
            "receive": (-1, 0, True),
            "compute": (1, -1, False),
            "send": (1, 2, True),
        }
        assert (task, peer, nbytes > 0) == wanted[lane]


def test_no_spans_unless_asked_for() -> None:
    plan = branches(2)
    with nodes(plan, 2) as some:
        run_frames(some, "static", 1)
        assert some.stats(0)["spans"] == []


def test_the_client_knows_the_clocks_of_its_peers() -> None:
    """All nodes are on one machine here, so their clocks are one."""
    plan = branches(2)
    with nodes(plan, 2) as some:
        until(lambda: len(some.stats(3)["clocks"]) == 3, "all peers answer")
        clocks = some.stats(3)["clocks"]
        for peer, offset, round_trip in clocks:
            assert peer in (0, 1, 2)
            assert round_trip > 0
            assert abs(offset) <= round_trip


def test_a_call_takes_the_time_that_its_board_would() -> None:
    plan = branches(2)
    ms = {"branch0": 40.0, "branch1": 10.0, "head": 5.0}
    pace = Pace(board_ms=[[ms[name] for name in plan.functions]] * 3, poll_ms=1)
    with nodes(plan, 2, pace=pace, trace=True) as some:
        run_frames(some, "static", 1)
        spans = some.spans()
        took = [[(e - b) / 1e6 for lane, *_, b, e, _ in of if lane == "compute"] for of in spans]
        assert took[0][0] >= 40.0
        assert took[1][0] >= 10.0
        assert took[2][0] >= 5.0


def test_a_call_that_is_too_slow_for_its_board_is_owned_up_to() -> None:
    plan = branches(1)
    pace = Pace(board_ms=[[0.0] * len(plan.functions)] * 2, poll_ms=1)
    with nodes(plan, 1, pace=pace) as some:
        run_frames(some, "static", 1)
        assert some.stats(0)["late_ns"] > 0
        assert some.stats(0)["late_ns"] == 0  # since the last call


@pytest.mark.parametrize(("patience_ms", "fallbacks"), [(0, True), (60_000, False)])
def test_fallbacks_run_when_patience_is_over(patience_ms: int, fallbacks: bool) -> None:
    """Two devices, four tiles: two give, and the others' tasks wait for them, or do without.

    The first tile is held until the second has begun, or even until a task does without it.
    """
    plan = reuse(2, 2)
    calls, enough = itertools.count(), threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        call = next(calls)
        if call == (2 if fallbacks else 1):
            enough.set()
        if call == 0:
            enough.wait(60)
        return made_up(plan)(name, arguments)

    with nodes(plan, 2, compute=compute, pace=Pace(poll_ms=1, patience_ms=patience_ms)) as some:
        run_frames(some, "stealing", 1)
        rows = [frame_rows(some, node, 1)[0] for node in range(2)]
    assert (sum(row["fallbacks"] for row in rows) > 0) == fallbacks


def test_a_node_introduces_itself() -> None:
    plan = branches(1)
    with nodes(plan, 1, memory_bytes=1 << 24, cores=2) as some:
        facts = json.loads(some.modules[0]["hello"]())
        assert facts["protocol"] == 2
        assert facts["processor"] == this_processor()
        assert facts["cores"] == 2
        assert facts["memory_bytes"] == facts["free_bytes"] == 1 << 24
        assert facts["config"] == "none"
        assert json.loads(some.client["hello"]())["free_bytes"] > 1 << 24
