"""What each node loads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import File, Module
from lcp_tvm.plan.plan import GATEWAY, Fallback
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.deployment import deploy
from lcp_tvm.targets import parse_targets
from tests.plan.plans import with_task
from tests.test_grouping import plan_of

FILE = File(0, "")


def a_module(target: str, *functions: str) -> Module:
    return Module(
        target, "x86-64-v2", functions, None, FILE, None, (), dict.fromkeys(functions, 0), (), {}
    )


def test_a_node_loads_what_is_bound_to_it() -> None:
    plan = plan_of(("a", 0), ("b", 1), ("head", GATEWAY), devices=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b", "head")}
    assert deploy(plan, modules, Machines(2, 2), lambda _: "cpu") == (("a",), ("b",), ("head",))


def test_fewer_nodes_take_several_parts() -> None:
    plan = plan_of(("a", 0), ("b", 1), ("head", GATEWAY), devices=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b", "head")}
    assert deploy(plan, modules, Machines(2, 0), lambda _: "cpu") == (("a", "head"), ("b",))
    assert deploy(plan, modules, Machines(1, 0), lambda _: "cpu") == (("a", "b", "head"),)


def test_every_node_loads_what_is_bound_to_none_and_its_other_way() -> None:
    """So that any of them can do without the others."""
    plan = plan_of(("tile", None), ("tile", None), ("head", GATEWAY), devices=2)
    plan = with_task(plan, 1, fallback=Fallback("alone", plan.tasks[1].reads))
    modules = {name: a_module("cpu", name) for name in ("tile", "alone", "head")}
    found = deploy(plan, modules, Machines(2, 2), lambda _: "cpu")
    assert found == (("tile", "alone"), ("tile", "alone"), ("head",))


def test_replicas_have_their_own_nodes() -> None:
    plan = plan_of(("a", 0), ("b", 1), devices=2, replicas=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b")}
    found = deploy(plan, modules, Machines(4, 0), lambda _: "cpu")
    assert found == (("a",), ("b",), ("a",), ("b",))


def test_more_nodes_than_a_plan_is_for_load_the_same_again() -> None:
    plan = plan_of(("a", 0), ("a", 1), devices=2)
    targets = parse_targets("vta,1=arm:rpi3")
    modules = {"a": a_module("vta:pynq_z1", "a"), "a-arm": a_module("arm:rpi3", "a")}
    found = deploy(plan, modules, Machines(4, 0), lambda device: targets.of(device).text)
    assert found == (("a",), ("a-arm",), ("a",), ("a-arm",))


def test_a_node_for_devices_of_two_targets_loads_a_function_once() -> None:
    plan = plan_of(("a", 0), ("a", 1), devices=2)
    targets = parse_targets("vta,1=cpu")
    modules = {"a": a_module("vta:pynq_z1", "a"), "a-cpu": a_module("cpu", "a")}
    found = deploy(plan, modules, Machines(1, 0), lambda device: targets.of(device).text)
    assert found == (("a",),)


def test_a_function_that_no_module_has() -> None:
    plan = plan_of(("a", 0))
    modules = {"a": a_module("cpu", "a")}
    with pytest.raises(PackageError, match="function 'a' of task 'task_0': no module has it for x"):
        deploy(plan, modules, Machines(1, 0), lambda _: "x")
    with pytest.raises(PackageError, match="function 'b'"):
        deploy(
            replace(plan, tasks=plan_of(("b", 0)).tasks), modules, Machines(1, 0), lambda _: "cpu"
        )
