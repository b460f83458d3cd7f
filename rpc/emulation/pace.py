"""How long emulated boards take, and how much slower than life their whole world has to go.

A worker computes, then waits until its board's time has passed. When this machine is slower than
all the boards together, everything goes in slow motion: boards, network, and waits take ``factor``
times as long, and what is measured is divided by it.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from lcp_tvm.plan.plan import Function, Plan
from lcp_tvm.predict.cluster import Cluster, Network
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.predict.rules import Rules
from lcp_tvm.rpc.program import Pace

CPU_MACS = 1.1e9
VTA_MACS = 5e9
"""Multiply-accumulates a second on a core of this machine: of compiled code, and of the simulator;
estimates on the safe side. A call that is late all the same is told (`late_ns`)."""

MARGIN = 1.3
"""Calls that share a core do not share it evenly."""


def pace_of(plan: Plan, cluster: Cluster, factor: float, rules: Rules) -> Pace:
    """Return what nodes are told: the machines', and the client's, which computes nothing."""
    functions = plan.functions.values()
    rows = [
        tuple(factor * call_ms(function, machine) for function in functions)
        for machine in cluster.machines
    ]
    client = (0.0,) * len(plan.functions)
    return Pace(
        board_ms=(*rows, client),
        poll_ms=round(factor * rules.poll_ms),
        patience_ms=round(factor * rules.patience_ms),
    )


def slowed(network: Network, factor: float) -> Network:
    """Return a network in slow motion."""
    jitter = replace(network.jitter, scale_ms=network.jitter.scale_ms * factor)
    return replace(
        network,
        bandwidth_mbit=network.bandwidth_mbit / factor,
        latency_ms=network.latency_ms * factor,
        jitter=jitter,
    )


def slow_motion(plan: Plan, cluster: Cluster, cores: int, in_flight: int = 1) -> float:
    """Return the least factor at which cores can do what boards do, to half a unit.

    Every board may compute at the same time the function that suits it best: as many as there are
    tasks.
    """
    functions = plan.functions.values()
    shares = sorted(
        max(host_ms(function) / call_ms(function, machine) for function in functions)
        for machine in cluster.machines
    )
    at_once = min(len(shares), len(plan.tasks) * in_flight)
    factor = MARGIN * sum(shares[-at_once:]) / cores
    return max(1.0, ceil(2 * factor) / 2)


def host_ms(function: Function) -> float:
    """Return what a call takes on a core of this machine, about."""
    rate = VTA_MACS if function.measured_ms else CPU_MACS
    return 1e3 * function.cost.macs / rate
