"""What tasks are called with, and how frames begin."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.run import run_plan
from lcp_tvm.rpc.control import as_tensor
from tests.native.nodes import Array, a_frame, aligned, made_up, nodes
from tests.plan.plans import again, branches, chain, tiles, with_task


def needing(plan: Plan, count: int) -> Plan:
    """Return the plan with a head that needs so many of the branches."""
    return with_task(plan, len(plan.tasks) - 1, needs=count)


def test_a_task_that_needs_some_of_its_reads_is_told_which_have_come() -> None:
    """One of three branches does not come before the frame is done: the head sees zeros."""
    plan = needing(branches(3), 2)
    late = threading.Event()
    seen: list[list[Array]] = []

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        if name == "branch1":
            late.wait(60)
        if name == "head":
            seen.append([np.array(argument) for argument in arguments])
        return made_up(plan)(name, arguments[:3])

    with nodes(plan, 3, compute=compute) as some:
        some.begin(some.route("static"), a_frame(plan))
        some.outputs()
        late.set()
        some.begin(some.route("static"), a_frame(plan))  # what was late disturbs nobody
        some.outputs()
    first, second, third, came = seen[0]
    assert came.dtype == np.int32
    assert came.tolist() == [1, 0, 1]
    assert first.any()
    assert third.any()
    assert not second.any()
    assert second.shape == (1, 8, 8, 8)


def test_an_argument_that_is_one_result_is_not_copied() -> None:
    """Two stages on one device: the second gets the memory that the first one filled."""
    plan = chain(2)
    plan = again(replace(plan, tasks=tuple(replace(task, device=0) for task in plan.tasks)))
    filled: list[Array] = []

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        if name == "stage1":
            assert np.shares_memory(arguments[0], filled[0])
        (result,) = made_up(plan)(name, arguments)
        filled.append(aligned(result))
        return filled[-1:]

    with nodes(plan, 1, compute=compute) as some:
        some.begin(some.route("static"), a_frame(plan))
        some.outputs()


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
def test_frames_begin_with_inputs_that_the_source_keeps(policy: str) -> None:
    plan = tiles(2, 2)
    frame = a_frame(plan, 7)
    with nodes(plan, 2) as some:
        image = frame["image"].copy()
        some.modules[1]["keep"]("camera", as_tensor(image))
        image[:] = 0  # the node has a copy
        for _ in range(3):
            some.begin(some.route(policy, source=1), {}, "camera")  # type: ignore[arg-type]
            _, outputs = some.outputs()
            wanted = run_plan(plan, made_up(plan), frame)
            np.testing.assert_array_equal(outputs["scores"], wanted["scores"])


def test_inputs_that_nobody_keeps() -> None:
    plan = tiles(2, 2)
    with nodes(plan, 2) as some:
        frame = some.begin(some.route("stealing"), {}, "camera")
        assert some.next() == ["failed", frame, 0, "no inputs are kept under 'camera'"]


def test_older_frames_go_first() -> None:
    """While the only device computes, tasks of three frames come; they run frame by frame."""
    plan = tiles(2, 2, devices=1)
    gate = threading.Event()
    order: list[float] = []

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        gate.wait(60)
        if name != "head":
            order.append(float(arguments[0].max()))
        return made_up(plan)(name, arguments)

    with nodes(plan, 1, compute=compute) as some:
        route = some.route("static")
        for value in range(3):
            some.begin(route, {"image": np.full((1, 3, 16, 16), value, np.float32)})
        gate.set()
        numbers = [some.outputs()[0] for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert order == sorted(order)
    assert len(order) == 12
