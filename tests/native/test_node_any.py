"""Any legal plan: nodes compute the numbers of the reference, whoever runs what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.plan.run import run_plan
from tests.native.nodes import a_frame, made_up, nodes
from tests.plan.random_plans import plans


def with_all_reads(plan: Plan) -> Plan:
    """Have tasks need all of their reads, so that results do not depend on what came first."""
    tasks = tuple(
        replace(task, needs=None if task.needs is None else len(task.reads)) for task in plan.tasks
    )
    return replace(plan, tasks=tasks)


@pytest.mark.parametrize("policy", ["static", "sharing", "stealing"])
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    plan=plans().map(with_all_reads),
    devices=st.integers(1, 8),
    own_gateway=st.booleans(),
    cores=st.integers(1, 2),
    data=st.data(),
)
def test_any_plan_on_any_nodes(
    policy: Policy, plan: Plan, devices: int, own_gateway: bool, cores: int, data: st.DataObject
) -> None:
    sources = data.draw(st.lists(st.integers(0, devices - 1), min_size=1, max_size=3))
    with nodes(plan, devices, own_gateway=own_gateway, cores=cores) as some:
        inputs = {}
        for turn, source in enumerate(sources):
            frame = a_frame(plan, turn)
            inputs[some.begin(some.route(policy, source, turn), frame)] = frame
        for _ in sources:
            number, outputs = some.outputs()
            wanted = run_plan(plan, made_up(plan), inputs.pop(number))
            for name, array in outputs.items():
                np.testing.assert_array_equal(array, wanted[name])
