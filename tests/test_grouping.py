"""Which functions become one module."""

from __future__ import annotations

from dataclasses import replace

from lcp_tvm.grouping import group_functions
from lcp_tvm.plan.plan import GATEWAY, Device, Fallback, Plan, Task
from lcp_tvm.targets import parse_targets
from tests.packages import a_plan


def plan_of(*calls: tuple[str, Device | None], devices: int = 4, replicas: int = 1) -> Plan:
    """A plan whose tasks call these functions on these devices; the rest does not matter here."""
    tasks = tuple(
        Task(f"task_{number}", function, (), (), device)
        for number, (function, device) in enumerate(calls)
    )
    return replace(a_plan(), tasks=tasks, devices=devices, replicas=replicas)


def groups(plan: Plan, targets: str) -> list[tuple[str, str, tuple[str, ...]]]:
    found = group_functions(plan, parse_targets(targets))
    return [(group.name, group.target.text, group.functions) for group in found]


def test_tiles_that_run_anywhere_are_one_module_and_the_head_another() -> None:
    plan = plan_of(("tile", None), ("tile_1", None), ("tile", None), ("head", GATEWAY))
    assert groups(plan, "cpu") == [
        ("anywhere", "cpu", ("tile", "tile_1")),
        ("head", "cpu", ("head",)),
    ]


def test_branches_are_a_module_each() -> None:
    plan = plan_of(("branch_0", 0), ("branch_1", 1))
    assert [name for name, _, _ in groups(plan, "cpu")] == ["branch_0", "branch_1"]


def test_functions_of_the_same_devices_are_one_module() -> None:
    plan = plan_of(
        ("a", 0), ("b", 1), ("b", 2), ("c", 0), ("d", 1), ("d", 2), ("e", 0), ("e", 2), ("f", 0),
        ("f", 2), ("f", GATEWAY), ("g", GATEWAY), ("h", GATEWAY),
    )  # fmt: skip
    assert groups(plan, "cpu") == [
        ("device_0", "cpu", ("a", "c")),
        ("devices_1-2", "cpu", ("b", "d")),
        ("e", "cpu", ("e",)),
        ("f", "cpu", ("f",)),
        ("gateway", "cpu", ("g", "h")),
    ]


def test_a_function_is_compiled_for_the_targets_of_its_devices() -> None:
    plan = plan_of(("a", 0), ("a", 1), ("b", 0))
    assert groups(plan, "vta,1=arm:rpi3") == [
        ("device_0", "vta:pynq_z1", ("a", "b")),
        ("a", "arm:rpi3", ("a",)),
    ]


def test_functions_that_run_anywhere_are_compiled_for_all_targets() -> None:
    plan = plan_of(("tile", None), ("head", GATEWAY))
    assert groups(plan, "vta,gateway=arm:rpi4,3=arm:rpi3") == [
        ("tile", "vta:pynq_z1", ("tile",)),
        ("tile-arm_rpi4", "arm:rpi4", ("tile",)),
        ("tile-arm_rpi3", "arm:rpi3", ("tile",)),
        ("head", "arm:rpi4", ("head",)),
    ]


def test_fallbacks_are_with_what_they_stand_in_for() -> None:
    plan = plan_of(("tile", None), ("rest", None))
    tasks = (plan.tasks[0], replace(plan.tasks[1], fallback=Fallback("rest_alone", ())))
    assert groups(replace(plan, tasks=tasks), "cpu") == [
        ("anywhere", "cpu", ("tile", "rest", "rest_alone"))
    ]


def test_replicas_have_the_targets_of_their_own_numbers() -> None:
    plan = plan_of(("stage_0", 0), ("stage_1", 1), devices=2, replicas=2)
    assert groups(plan, "vta,2=arm:rpi3") == [
        ("stage_0", "vta:pynq_z1", ("stage_0",)),
        ("stage_0-arm_rpi3", "arm:rpi3", ("stage_0",)),
        ("stage_1", "vta:pynq_z1", ("stage_1",)),
    ]


def test_names_are_unique_and_short() -> None:
    calls = [(f"f{n}", device) for n in range(4) for device in range(n % 2, 60, 2)]
    names = [name for name, _, _ in groups(plan_of(*calls, devices=60), "cpu")]
    assert len(set(names)) == 2
    assert all(len(name) <= 44 for name in names)
