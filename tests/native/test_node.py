"""Nodes that run plans: the same numbers as the reference, whoever runs what."""

from __future__ import annotations

import numpy as np
import pytest

from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.plan.run import run_plan
from tests.native.nodes import Nodes, a_frame, made_up, nodes
from tests.plan.plans import branches, chain, layers, reuse, strips, tiles


def check_frames(some: Nodes, policy: Policy, sources: int, frames: int) -> None:
    """Run frames from several sources, all at a time, and compare them with the reference."""
    plan = some.plan
    routes = [some.route(policy, source) for source in range(sources)]
    inputs = {}
    for turn in range(frames):
        frame = a_frame(plan, turn)
        inputs[some.begin(routes[turn % sources], frame)] = frame
    for _ in range(frames):
        number, outputs = some.outputs()
        wanted = run_plan(plan, made_up(plan), inputs.pop(number))
        assert outputs.keys() == wanted.keys()
        for name, array in outputs.items():
            np.testing.assert_array_equal(array, wanted[name])
            assert array.dtype == wanted[name].dtype
    assert not inputs


@pytest.mark.parametrize("own_gateway", [True, False])
@pytest.mark.parametrize(
    "plan",
    [branches(3), chain(3), tiles(3, 3, devices=3), strips(3, 3), layers(3, 2)],
    ids=lambda plan: plan.split,
)
def test_static_plans_give_the_numbers_of_the_reference(plan: Plan, own_gateway: bool) -> None:
    with nodes(plan, 3, own_gateway=own_gateway) as some:
        check_frames(some, "static", sources=3, frames=6)


@pytest.mark.parametrize("plan", [tiles(3, 3), strips(3, 3)], ids=lambda plan: plan.split)
def test_work_sharing_gives_the_numbers_of_the_reference(plan: Plan) -> None:
    with nodes(plan, 3) as some:
        check_frames(some, "sharing", sources=3, frames=3)


@pytest.mark.parametrize("own_gateway", [True, False])
@pytest.mark.parametrize("plan", [tiles(3, 3), reuse(3, 3)], ids=lambda plan: plan.split)
def test_work_stealing_gives_the_numbers_of_the_reference(plan: Plan, own_gateway: bool) -> None:
    with nodes(plan, 3, own_gateway=own_gateway) as some:
        check_frames(some, "stealing", sources=3, frames=6)
