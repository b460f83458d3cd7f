"""What a plan costs by function and by device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.devices import devices_text
from lcp_tvm.plan.plan import GATEWAY, Device
from lcp_tvm.report_plan import DeviceCost, FunctionCost, plan_cost
from tests.packages import a_plan, a_split_compiled


def test_a_function_is_a_row_however_often_it_is_called() -> None:
    cost = plan_cost(a_split_compiled().plan, {"half": 0.5}, {})
    assert cost.functions == (
        FunctionCost("half", 2, "0-1", 3_000_000, 384, 384, 1000, 768, 0.5),
        FunctionCost("head", 1, "gateway", 192, 768, 8, 0, 0, None),
    )


def test_a_device_is_a_row_with_what_it_exchanges() -> None:
    cost = plan_cost(a_split_compiled().plan, {"half": 0.5}, {})
    assert cost.by_device == (
        DeviceCost("0", 1, 3_000_000, 384, 384, 1768, 0.5),
        DeviceCost("1", 1, 3_000_000, 384, 384, 1768, 0.5),
        DeviceCost("gateway", 1, 192, 768, 0, 0, None),
    )
    assert (cost.macs, cost.moved_bytes, cost.vta_ms) == (6_000_192, 1536, 1.0)


def test_what_stays_on_a_device_is_not_moved() -> None:
    plan = a_split_compiled().plan
    moved = replace(plan, tasks=tuple(replace(task, device=GATEWAY) for task in plan.tasks))
    assert plan_cost(moved, {}, {}).moved_bytes == 768  # the frame
    unbound = replace(plan, tasks=tuple(replace(task, device=None) for task in plan.tasks))
    assert plan_cost(unbound, {}, {}).moved_bytes == 1536 + 8  # and the result to the gateway


def test_shared_constants_count_once() -> None:
    plan = a_split_compiled().plan
    functions = {
        name: replace(function, weights={"w": 1000}, cost=replace(function.cost, weight_bytes=1000))
        for name, function in plan.functions.items()
    }
    tasks = tuple(replace(task, device=0) for task in plan.tasks)
    (row,) = plan_cost(replace(plan, functions=functions, tasks=tasks), {}, {}).by_device
    assert row.memory_bytes == 1000 + 768


def test_without_vta_there_is_no_time() -> None:
    assert plan_cost(a_plan(), {}, {}).vta_ms is None


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ([0], "0"),
        ([3, 1, 2, 0], "0-3"),
        ([0, 2, 3, 5], "0, 2-3, 5"),
        ([GATEWAY, 1], "1, gateway"),
        ([None], "any"),
    ],
)
def test_devices_as_text(devices: list[Device | None], text: str) -> None:
    assert devices_text(devices) == text
