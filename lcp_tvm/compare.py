"""Splits of one network side by side, as the predictor sees them on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lcp_tvm.errors import PlanError
from lcp_tvm.network import Network
from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.predict import predict
from lcp_tvm.quantise import is_qdq, quantise
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.split_auto import (
    fixed_splits,
    largest_memory,
    policies_of,
    split_auto,
)
from lcp_tvm.split_text import Auto, Lcp, SplitSpec
from lcp_tvm.splitting import graph_of, lcp_network, make_split

Progress = Callable[[str, float], None]

FLIGHT = 2
"""Frames in flight per device when throughput is measured."""


@dataclass(frozen=True, slots=True)
class Row:
    """One split.

    Attributes
    ----------
    split : its text; ``policy``: who runs a task, the one with the least latency.
    latency_ms, p95_ms : of one frame at a time.
    speedup : against the first row.
    frames_per_second : with several frames in flight.
    megabytes : sent per frame, 10^6 bytes.
    memory_mib : of the device that needs the most; ``fits``: in every device's memory.
    macs : executed per frame, redundant ones included.
    retrain : whether the split changes what the network computes.
    """

    split: str
    policy: str
    tasks: int
    latency_ms: float
    p95_ms: float
    speedup: float
    frames_per_second: float
    megabytes: float
    memory_mib: float
    fits: bool
    macs: int
    retrain: bool


def plan_all(
    network: Network,
    cluster: Cluster,
    specs: Sequence[tuple[str, SplitSpec]] | None,
    *,
    integer: bool,
    progress: Progress,
) -> tuple[list[Plan], list[str]]:
    """Plan a network in several ways.

    Parameters
    ----------
    specs : splits with the texts that they were read from; None takes every kind, for as many
        devices as the cluster has.
    integer : plan the int8 network; a QDQ network always is.

    Returns
    -------
    plans : the unsplit network first.
    messages : a line for every split that the network does not allow.
    """
    plans, messages = [], []
    progress("splitting", 0.1)
    graph = _graph(network, integer)
    if specs is None:
        plans += [split.plan for split in fixed_splits(graph, network.name, len(cluster.devices))]
        count = len(cluster.devices)
        specs = [(f"lcp:{count}", Lcp(count))] if count > 1 else []
        specs.append(("auto", Auto()))
    for number, (text, spec) in enumerate(specs):
        progress(f"splitting {text}", 0.1 + 0.5 * number / len(specs))
        try:
            plans.append(_plan(network, graph, cluster, spec, integer))
        except PlanError as error:
            messages.append(f"{text}: {error}")
    if not plans or plans[0].split != "none":
        unsplit = next(fixed_splits(graph, network.name, 1)).plan
        plans = [unsplit, *(plan for plan in plans if plan.split != "none")]
    return plans, messages


def _graph(network: Network, integer: bool) -> NetworkGraph:
    if is_qdq(network.module):
        return graph_of(lower_qdq(network.module))
    if integer:  # the values do not matter here, so that noise will do for calibration
        return graph_of(lower_qdq(quantise(network, None).module))
    return graph_of(network.module)


def _plan(
    network: Network, graph: NetworkGraph, cluster: Cluster, spec: SplitSpec, integer: bool
) -> Plan:
    if isinstance(spec, Auto):
        plan = split_auto(graph, network.name, cluster, spec.minimise).split.plan
        return plan if plan.split == "auto" else replace(plan, split=f"auto: {plan.split}")
    if isinstance(spec, Lcp):
        graph = _graph(lcp_network(network, spec), integer)
    return make_split(graph, network.name, spec).plan


def compare_plans(
    plans: Sequence[Plan], cluster: Cluster, *, frames: int = 20, seed: int = 0
) -> tuple[Row, ...]:
    """Predict every plan; the first is what the others are compared with.

    Parameters
    ----------
    frames : how many each plan processes, one after the other for latency.
    seed : of the network's jitter.
    """
    rows: list[Row] = []
    for plan in plans:
        slow = min(
            (
                predict(plan, cluster, frames=frames, policy=policy, seed=seed)
                for policy in policies_of(plan)
            ),
            key=lambda prediction: prediction.latency_ms.p50,
        )
        flight = FLIGHT * len(cluster.devices)
        busy = predict(
            plan,
            cluster,
            frames=max(frames, 2 * flight),
            in_flight=flight,
            policy=slow.policy,
            seed=seed,
        )
        latency = slow.latency_ms.p50
        rows.append(
            Row(
                split=plan.split,
                policy=slow.policy,
                tasks=len(plan.tasks),
                latency_ms=latency,
                p95_ms=slow.latency_ms.p95,
                speedup=(rows[0].latency_ms if rows else latency) / latency,
                frames_per_second=busy.frames_per_second,
                megabytes=slow.bytes_per_frame / 1e6,
                memory_mib=largest_memory(slow) / 2**20,
                fits=slow.fits,
                macs=sum(plan.functions[task.function].cost.macs for task in plan.tasks),
                retrain=plan.split.startswith("lcp"),
            )
        )
    return tuple(rows)


def rows_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON values."""
    return [asdict(row) for row in rows]
