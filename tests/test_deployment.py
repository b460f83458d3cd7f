"""Which worker runs which task, and what it loads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.deployment import deploy
from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import File, Module
from lcp_tvm.plan.plan import GATEWAY
from lcp_tvm.targets import parse_targets
from tests.test_grouping import plan_of

FILE = File(0, "")


def a_module(target: str, *functions: str) -> Module:
    return Module(target, functions, None, FILE, None, (), (), {})


def test_device_d_is_worker_d_and_the_gateway_the_next() -> None:
    plan = plan_of(("a", 0), ("b", 1), ("head", GATEWAY), devices=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b", "head")}
    found = deploy(plan, modules, 3, lambda _: "cpu")
    assert found.workers == ((0, 1, 2),)
    assert found.modules == (("a",), ("b",), ("head",))


def test_fewer_workers_take_several_parts() -> None:
    """With as many workers as devices the gateway is the first."""
    plan = plan_of(("a", 0), ("b", 1), ("head", GATEWAY), devices=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b", "head")}
    assert deploy(plan, modules, 2, lambda _: "cpu").modules == (("a", "head"), ("b",))
    assert deploy(plan, modules, 1, lambda _: "cpu").modules == (("a", "b", "head"),)


def test_unbound_tasks_are_dealt_out() -> None:
    plan = plan_of(("tile", None), ("tile", None), ("tile", None), devices=2)
    assert deploy(plan, {"tile": a_module("cpu", "tile")}, 2, lambda _: "cpu").workers == (
        (0, 1, 0),
    )


def test_replicas_have_their_own_workers() -> None:
    plan = plan_of(("a", 0), ("b", 1), devices=2, replicas=2)
    modules = {name: a_module("cpu", name) for name in ("a", "b")}
    found = deploy(plan, modules, 4, lambda _: "cpu")
    assert found.workers == ((0, 1), (2, 3))
    assert found.modules == (("a",), ("b",), ("a",), ("b",))


def test_a_worker_loads_what_is_for_its_devices_target() -> None:
    plan = plan_of(("a", 0), ("a", 1), devices=2)
    targets = parse_targets("vta,1=arm:rpi3")
    modules = {"a": a_module("vta:pynq_z1", "a"), "a-arm": a_module("arm:rpi3", "a")}
    found = deploy(plan, modules, 2, lambda device: targets.of(device).text)
    assert found.modules == (("a",), ("a-arm",))


def test_a_worker_for_devices_of_two_targets_loads_a_function_once() -> None:
    plan = plan_of(("a", 0), ("a", 1), devices=2)
    targets = parse_targets("vta,1=cpu")
    modules = {"a": a_module("vta:pynq_z1", "a"), "a-cpu": a_module("cpu", "a")}
    found = deploy(plan, modules, 1, lambda device: targets.of(device).text)
    assert found.modules == (("a",),)


def test_a_function_that_no_module_has() -> None:
    plan = plan_of(("a", 0))
    modules = {"a": a_module("cpu", "a")}
    with pytest.raises(PackageError, match="function 'a' of task 'task_0': no module has it for x"):
        deploy(plan, modules, 1, lambda _: "x")
    with pytest.raises(PackageError, match="function 'b'"):
        deploy(replace(plan, tasks=plan_of(("b", 0)).tasks), modules, 1, lambda _: "cpu")
