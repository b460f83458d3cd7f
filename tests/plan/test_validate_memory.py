"""What a device must hold: all constants of its functions, and one task at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import GATEWAY, Cost, Device, Function, Plan
from lcp_tvm.plan.validate import validate
from tests.plan.plans import branches, chain, reuse, tiles, with_task

MIB = 1 << 20


def too_large(plan: Plan, message: str, *, memory_bytes: Mapping[Device, int] | int) -> None:
    with pytest.raises(PlanError) as caught:
        validate(plan, memory_bytes=memory_bytes)
    assert message in str(caught.value)


def with_costs(plan: Plan, costs: dict[str, Cost]) -> Plan:
    functions = {
        name: replace(function, cost=costs.get(name, Cost()))
        for name, function in plan.functions.items()
    }
    return replace(plan, functions=functions)


def test_constants_add_up_and_peaks_do_not() -> None:
    plan = with_task(chain(2), 1, device=0)
    plan = with_costs(
        plan,
        {
            "stage0": Cost(weight_bytes=3, peak_bytes=5),
            "stage1": Cost(weight_bytes=2, peak_bytes=4),
        },
    )
    validate(plan, memory_bytes=10)
    too_large(
        plan,
        "task 'stage0' needs 5 bytes beside 5 of constants; allowed are 9 on device 0",
        memory_bytes=9,
    )


def test_a_function_that_several_tasks_call_is_held_once() -> None:
    plan = tiles(3, 5, devices=1)
    inside = plan.tasks[6].function
    assert [task.function for task in plan.tasks].count(inside) == 3
    validate(with_costs(plan, {inside: Cost(weight_bytes=10)}), memory_bytes={0: 10})


def test_constants_that_functions_share_are_held_once() -> None:
    functions = {
        "stage0": Function((), (), Cost(weight_bytes=5), weights={"conv.1": 3, "bias.1": 2}),
        "stage1": Function((), (), Cost(weight_bytes=4), weights={"conv.1": 3, "dense.1": 1}),
    }
    plan = replace(chain(2), functions=functions)
    assert plan.weight_bytes(["stage0"]) == 5
    assert plan.weight_bytes(["stage0", "stage1"]) == 6


def test_listed_constants_are_all_that_a_function_holds() -> None:
    plan = with_costs(chain(2), {"stage1": Cost(weight_bytes=4)})
    stage = replace(plan.functions["stage1"], weights={"conv.1": 3})
    wrong = replace(plan, functions={**plan.functions, "stage1": stage})
    with pytest.raises(PlanError, match="'stage1' holds 4 bytes of constants, the listed ones"):
        validate(wrong)


def test_every_device_has_its_own_memory() -> None:
    plan = with_costs(chain(2), {"stage1": Cost(weight_bytes=MIB)})
    validate(plan, memory_bytes={0: 1, 1: MIB})
    too_large(plan, "allowed are 1 on device 1", memory_bytes={0: MIB, 1: 1})


def test_a_replica_needs_what_its_original_needs() -> None:
    plan = replace(with_costs(chain(2), {"stage1": Cost(weight_bytes=MIB)}), replicas=2)
    too_large(plan, "allowed are 1 on device 3", memory_bytes={0: MIB, 1: MIB, 2: MIB, 3: 1})


def test_the_gateway_is_a_device_too() -> None:
    plan = with_costs(branches(2), {"head": Cost(weight_bytes=MIB)})
    validate(plan, memory_bytes={0: 1, 1: 1})
    too_large(plan, "allowed are 1 on device gateway", memory_bytes={GATEWAY: 1})


def test_a_task_for_anyone_must_fit_the_smallest_device() -> None:
    plan = tiles(1, 2)
    plan = with_costs(plan, {plan.tasks[0].function: Cost(peak_bytes=7)})
    validate(plan, memory_bytes={0: 8, 1: 7})
    too_large(plan, "allowed are 6 on the smallest device", memory_bytes={0: 8, 1: 6})


def test_a_fallback_takes_memory_too() -> None:
    plan = reuse(1, 2)
    plan = with_costs(plan, {"tile_0_1_alone": Cost(weight_bytes=9)})
    too_large(plan, "task 'tile_0_1' needs 0 bytes beside 9 of constants", memory_bytes=8)
