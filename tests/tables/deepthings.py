"""DeepThings' figures 12 to 14 as we predict them: its four frameworks on its cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

from lcp_tvm.plan.plan import Plan, Policy, Task
from lcp_tvm.predict.cluster import Cluster, resized
from lcp_tvm.predict.cluster_file import load_cluster
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Prediction
from lcp_tvm.predict.rules import DEEPTHINGS
from lcp_tvm.relay_passes.network_graph import NetworkGraph, read_graph
from lcp_tvm.relay_passes.split_ftp import split_ftp
from lcp_tvm.relay_passes.split_strips import split_strips
from tests.tables.yolov2 import yolov2

Framework = Literal["MoDNN", "FTP-WSH", "FTP-WST", "FTP-WST-S"]
POLICIES: Mapping[Framework, Policy] = {
    "MoDNN": "sharing",
    "FTP-WSH": "sharing",
    "FTP-WST": "stealing",
    "FTP-WST-S": "stealing",
}
"""Section V: biased strips and fused tiles; work sharing, stealing, and stealing with reuse."""

FRAMEWORKS = tuple(POLICIES)
GRIDS = (3, 4, 5)
DEVICES = range(1, 7)
DEPTH = 16
MACS = 13_000_343_552
"""Multiply-accumulates of the unsplit layers."""

CLUSTER = Path(__file__).parents[2] / "examples" / "clusters" / "deepthings-6.toml"

PUBLIC_MACS: Mapping[tuple[int, bool], float] = {
    (3, False): 1.65,
    (5, False): 2.47,
    (3, True): 1.17,
    (5, True): 1.49,
}
"""What the public program executes of them, by grid and reuse."""


@cache
def network(pool: int = 2) -> NetworkGraph:
    """Return the 16 layers at 608x608."""
    return read_graph(yolov2(pool=pool))


@cache
def tiles(side: int, reuse: bool = False) -> Plan:
    """Return fused tiles in a square grid."""
    return split_ftp(network(), "yolov2", (side, side), DEPTH, reuse=reuse).plan


@cache
def printed_tiles(side: int, reuse: bool = False) -> Plan:
    """Return tiles in the order of the paper: first even rows of those that give (IV-C)."""
    plan = tiles(side, reuse)
    if not reuse:
        return plan

    def order(task: Task) -> tuple[int, int, str]:
        row, column = map(int, task.name.split("_")[1:])
        return ((row + column) % 2, row % 2, task.name)

    return replace(plan, tasks=tuple(sorted(plan.tasks, key=order)))


@cache
def strips(devices: int, *, exact: bool = False) -> Plan:
    """Return MoDNN's strips.

    Parameters
    ----------
    exact : exchange what the next layer reads and no more. Else pools get a row from each side
        too, as equation 1 has it and the printed bytes show (`test_communication_of_modnn`).
    """
    return split_strips(network(2 if exact else 4), "yolov2", devices, DEPTH).plan


@cache
def cluster(devices: int, sources: int = 1, rate: float | None = None) -> Cluster:
    """Return the paper's cluster.

    Parameters
    ----------
    rate : multiply-accumulates per second, in place of the calibrated ones.
    """
    found = resized(load_cluster(CLUSTER), devices)
    if rate is not None:
        kind = replace(found.devices[0].kind, float32_macs=rate)
        found = replace(found, devices=tuple(replace(d, kind=kind) for d in found.devices))
    return replace(found, sources=tuple(range(sources)))


@cache
def run(
    framework: Framework,
    devices: int,
    side: int | None = None,
    *,
    sources: int = 1,
    rate: float | None = None,
    public: bool = False,
) -> Prediction:
    """Return the prediction for one frame from each source, all at once, by the paper's rules.

    Parameters
    ----------
    side : of the grid; None for MoDNN.
    public : count the multiply-accumulates that the public program executes.
    """
    if side is None:
        plan = strips(devices)
    else:
        reuse = framework == "FTP-WST-S"
        plan = printed_tiles(side, reuse)
        if public:
            plan = with_macs(plan, PUBLIC_MACS[side, reuse] * MACS)
    return predict(
        plan,
        cluster(devices, sources, rate),
        frames=sources,
        in_flight=sources,
        policy=POLICIES[framework],
        rules=DEEPTHINGS,
    )


def grids(framework: Framework) -> tuple[int | None, ...]:
    """Return the grids that a framework is run with; strips have none."""
    return (None,) if framework == "MoDNN" else GRIDS


def mean(
    framework: Framework,
    devices: int,
    figure: Callable[[Prediction], float],
    *,
    sources: int = 1,
    rate: float | None = None,
) -> float:
    """Return the mean of a figure over the grids."""
    found = [
        figure(run(framework, devices, side, sources=sources, rate=rate))
        for side in grids(framework)
    ]
    return sum(found) / len(found)


def seconds(prediction: Prediction) -> float:
    """Return the latency of the last frame."""
    return prediction.latency_ms.max / 1e3


def executed_macs(plan: Plan) -> int:
    """Return the multiply-accumulates of all tasks."""
    return sum(plan.functions[task.function].cost.macs for task in plan.tasks)


def with_macs(plan: Plan, macs: float) -> Plan:
    """Return a plan whose tasks take so many multiply-accumulates together."""
    factor = macs / executed_macs(plan)
    functions = {
        name: replace(
            function, cost=replace(function.cost, macs=round(function.cost.macs * factor))
        )
        for name, function in plan.functions.items()
    }
    return replace(plan, functions=functions)
