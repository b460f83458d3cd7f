"""The reference consumer: tasks in their order, each on the regions that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Box
from lcp_tvm.plan.plan import Fallback, Function, Plan, Region, Task, Tensor
from lcp_tvm.plan.run import Array, read_region, run_plan

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def rows(begin: int, end: int) -> Box:
    return ((begin, end), (0, 4))


def halves(**keys: Any) -> Plan:
    """Rows 0..1 and 1..3 of y are made of those of x, by a task each."""
    return Plan(
        name="net",
        split="rows",
        tensors={"x": Tensor((3, 4), "float32"), "y": Tensor((3, 4), "int32")},
        inputs=("x",),
        outputs=("y",),
        functions={"f": Function((), ()), "g": Function((), ())},
        tasks=(
            Task("top", "f", (Region("x", rows(0, 1)),), (Region("y", rows(0, 1)),)),
            Task("rest", "g", (Region("x", rows(1, 3)),), (Region("y", rows(1, 3)),), **keys),
        ),
    )


class Calls:
    """Functions that add 1, and a list of how they were called."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[Array]]] = []

    def __call__(self, name: str, arguments: Sequence[Array]) -> list[Array]:
        self.log.append((name, list(arguments)))
        return [arguments[0] + 1]


def test_tasks_run_in_order_on_their_regions_and_fill_the_output() -> None:
    calls = Calls()
    result = run_plan(halves(), calls, {"x": X})
    assert list(result) == ["y"]
    np.testing.assert_array_equal(result["y"], X + 1)
    assert result["y"].dtype == np.int32
    assert [name for name, _ in calls.log] == ["f", "g"]
    np.testing.assert_array_equal(calls.log[1][1][0], X[1:])


@pytest.mark.parametrize("inputs", [{}, {"y": X}, {"x": X[:2]}])
def test_inputs_of_another_plan(inputs: dict[str, Array]) -> None:
    with pytest.raises(PlanError, match=r"the plan's input 'x' is \[3, 4\]; given is"):
        run_plan(halves(), Calls(), inputs)


@pytest.mark.parametrize("results", [[], [X[:1], X[:1]], [X[:1, :1]], [X]])
def test_results_of_another_function(results: list[Array]) -> None:
    """Not even those that numpy would repeat to fill the region."""
    with pytest.raises(PlanError, match=r"task 'top' is to write \[\[1, 4\]\]; its function gave"):
        run_plan(halves(), lambda name, arguments: results, {"x": X})


def test_inputs_stay_as_they_are() -> None:
    x = X.copy()
    run_plan(halves(), Calls(), {"x": x})
    np.testing.assert_array_equal(x, X)


def test_a_task_reads_what_an_earlier_one_wrote() -> None:
    plan = halves()
    copy = Task("copy", "g", (Region("y", rows(0, 2)),), (Region("z", ((0, 2), (0, 4))),))
    plan = replace(
        plan,
        tensors={**plan.tensors, "z": Tensor((2, 4), "int32")},
        outputs=("z", "x"),
        tasks=(*plan.tasks, copy),
    )
    result = run_plan(plan, Calls(), {"x": X})
    np.testing.assert_array_equal(result["z"], X[:2] + 2)
    np.testing.assert_array_equal(result["x"], X)  # an output may be an input


def test_one_call_writes_several_regions() -> None:
    plan = halves()
    (top, rest) = plan.tasks
    both = Task("both", "f", top.reads, (*top.writes, *rest.writes))

    def call(name: str, arguments: Sequence[Array]) -> list[Array]:
        return [np.zeros((1, 4)), np.ones((2, 4))]

    result = run_plan(replace(plan, tasks=(both,)), call, {"x": X})
    np.testing.assert_array_equal(result["y"], [[0] * 4, [1] * 4, [1] * 4])


def test_any_reads_suffice_so_the_function_hears_that_all_have_come() -> None:
    calls = Calls()
    run_plan(halves(needs=1), calls, {"x": X})
    (_, (rows_of_x, present)) = calls.log[1]
    assert rows_of_x.shape == (2, 4)
    assert present.dtype == np.int32
    np.testing.assert_array_equal(present, [1])


def test_a_fallback_is_taken_when_asked_for() -> None:
    other = Fallback("alone", (Region("x", rows(0, 2)),))
    for fallback, name, read in ((False, "g", X[1:]), (True, "alone", X[:2])):
        calls = Calls()
        run_plan(halves(fallback=other), calls, {"x": X}, fallback=fallback)
        assert [called for called, _ in calls.log] == ["f", name]
        np.testing.assert_array_equal(calls.log[1][1][0], read)


def test_a_region_is_read_contiguous() -> None:
    part = read_region({"x": X}, Region("x", ((0, 3), (1, 3))))
    assert part.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(part, X[:, 1:3])
