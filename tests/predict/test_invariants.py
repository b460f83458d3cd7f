"""What must hold of every plan on every cluster under every policy."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.edges import edges
from lcp_tvm.plan.plan import Cost, Plan, Policy
from lcp_tvm.predict.cluster import Cluster, Jitter
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Prediction
from tests.plan.random_plans import plans
from tests.predict.small import cluster

POLICIES: tuple[Policy, ...] = ("static", "sharing", "stealing")
SLACK = 1e-6


def modest(plan: Plan) -> Plan:
    """The plan with tasks of up to a second."""
    functions = {
        name: replace(function, cost=Cost(macs=function.cost.macs % 1000), measured_ms={})
        for name, function in plan.functions.items()
    }
    return replace(plan, functions=functions)


PLANS = plans().map(modest)
CLUSTERS = st.builds(
    cluster,
    st.integers(1, 4),
    medium=st.sampled_from(["shared", "switched"]),
    bytes_per_ms=st.sampled_from([1.0, 50.0]),
    latency_ms=st.sampled_from([0.0, 7.0]),
    hops=st.integers(1, 2),
    gateway=st.booleans(),
    jitter=st.sampled_from([Jitter(), Jitter("exponential", 3.0)]),
)
SOME = settings(max_examples=60)


@SOME
@given(PLANS, CLUSTERS, st.sampled_from(POLICIES), st.integers(1, 4), st.integers(1, 3))
def test_every_frame_ends_and_the_figures_fit_each_other(
    plan: Plan, where: Cluster, policy: Policy, frames: int, in_flight: int
) -> None:
    found = predict(plan, where, frames=frames, policy=policy, in_flight=in_flight)
    assert len(found.latencies_ms) == frames
    assert found.latency_ms.p50 <= found.latency_ms.p95 <= found.latency_ms.max
    assert found.latency_ms.max <= found.makespan_ms + SLACK
    assert all(device.busy_ms <= found.makespan_ms + SLACK for device in found.devices)
    assert sum(device.sent_bytes for device in found.devices) == found.bytes_total
    assert sum(device.received_bytes for device in found.devices) == found.bytes_total
    assert found.macs <= frames * most_macs(plan)


@SOME
@given(PLANS, CLUSTERS, st.sampled_from(POLICIES))
def test_a_prediction_is_repeatable(plan: Plan, where: Cluster, policy: Policy) -> None:
    def once() -> Prediction:
        return predict(plan, where, frames=3, policy=policy, in_flight=2, seed=5, trace=True)

    assert once() == once()


@SOME
@given(PLANS, CLUSTERS, st.sampled_from(POLICIES[:2]))
def test_no_plan_is_faster_than_its_longest_way(plan: Plan, where: Cluster, policy: Policy) -> None:
    """A multiply-accumulate is a millisecond, on whatever device."""
    tasks = tuple(replace(task, needs=None) for task in plan.tasks)
    patient = replace(plan, tasks=tasks)
    found = predict(patient, where, policy=policy)
    assert found.makespan_ms >= longest_way(patient) - SLACK


@SOME
@given(PLANS, st.sampled_from(POLICIES))
def test_one_device_that_is_all_there_is_sends_nothing(plan: Plan, policy: Policy) -> None:
    found = predict(plan, cluster(1), policy=policy, frames=2)
    assert (found.bytes_total, found.messages) == (0, 0)


@SOME
@given(PLANS, CLUSTERS)
def test_a_trace_changes_nothing_and_holds_all_calls(plan: Plan, where: Cluster) -> None:
    found = predict(plan, where, frames=2, in_flight=2, trace=True)
    plain = predict(plan, where, frames=2, in_flight=2)
    assert replace(found, spans=()) == plain
    sent = sum(int(str(s.args["bytes"])) for s in found.spans if s.lane == "send")
    assert sent == found.bytes_total
    for device in found.devices:
        calls = sorted(
            (s.start_us, s.end_us)
            for s in found.spans
            if s.lane == "compute" and s.device == device.name
        )
        ends = [end for _, end in calls]
        assert all(begin >= end - SLACK for (begin, _), end in zip(calls[1:], ends, strict=False))


def most_macs(plan: Plan) -> int:
    """Multiply-accumulates of a frame when every task takes its costlier way."""
    total = 0
    for task in plan.tasks:
        names = [task.function] + ([task.fallback.function] if task.fallback else [])
        total += max(plan.functions[name].cost.macs for name in names)
    return total


def longest_way(plan: Plan) -> float:
    """Milliseconds of the longest chain of tasks that ends in the plan's outputs."""
    took = {task.name: plan.functions[task.function].cost.macs for task in plan.tasks}
    ends: dict[str | None, float] = {None: 0.0}
    inputs: dict[str | None, list[str | None]] = {}
    for edge in edges(plan):
        inputs.setdefault(edge.consumer, []).append(edge.producer)
    for task in plan.tasks:
        ends[task.name] = took[task.name] + max(
            (ends[name] for name in inputs.get(task.name, [])), default=0.0
        )
    return max((ends[name] for name in inputs.get(None, [])), default=0.0)
