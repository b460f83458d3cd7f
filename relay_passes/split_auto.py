"""The best split for a cluster: every other split and our own segments, weighed by the predictor.

Dynamic programming (`segment_search`) proposes segments for every number of devices; the fixed
splits stand beside them, so the choice is never worse than the best of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Prediction
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.segment_search import SegmentSearch
from lcp_tvm.relay_passes.split import Split
from lcp_tvm.relay_passes.split_ftp import fusible_ends, split_ftp
from lcp_tvm.relay_passes.split_layers import split_layers
from lcp_tvm.relay_passes.split_pipeline import split_pipeline
from lcp_tvm.relay_passes.split_segments import split_segments
from lcp_tvm.relay_passes.split_strips import split_strips
from lcp_tvm.relay_passes.split_whole import split_whole

Objective = Literal["latency", "throughput", "memory"]

MEMORY_PRICES = (1e-6, 1e-5, 1e-4)
"""ms that a byte of constants counts, in turn, where memory is what is short."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A split and what the predictor says of it; ``fits``: in every device's memory."""

    split: Split
    policy: Policy
    prediction: Prediction
    fits: bool


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The best candidate, its plan under the split "auto", and all that were considered."""

    split: Split
    prediction: Prediction
    considered: tuple[Candidate, ...]


def split_auto(
    graph: NetworkGraph, name: str, cluster: Cluster, minimise: Objective = "latency"
) -> Choice:
    """Choose a split.

    Parameters
    ----------
    minimise : the median latency of a frame; the time between frames when several are in flight
        ("throughput"); or the memory of the device that needs the most.

    Raises
    ------
    PlanError
        No split fits the devices' memory; names the one that comes nearest.
    """
    search = SegmentSearch(graph, cluster)
    candidates: list[Candidate] = []

    def consider(splits: Iterable[Split]) -> list[Candidate]:
        candidates.extend(
            weigh(split, cluster, policy, minimise)
            for split in splits
            for policy in policies_of(split.plan)
        )
        return [candidate for candidate in candidates if candidate.fits]

    fitting = consider(fixed_splits(graph, name, len(cluster.devices)))
    fitting = consider(_own_splits(search, graph, name, cluster, 0.0))
    if not fitting or minimise == "memory":
        for price in MEMORY_PRICES:
            fitting = consider(_own_splits(search, graph, name, cluster, price))
    if not fitting:
        nearest = min(candidates, key=lambda c: largest_memory(c.prediction))
        raise PlanError(
            f"auto: no split of {name} fits the memory of cluster {cluster.name}; "
            f"{nearest.split.plan.split} comes nearest with "
            f"{largest_memory(nearest.prediction) / 2**20:.0f} MiB on one device; add devices, or "
            "quantise the network"
        )
    best = min(fitting, key=lambda candidate: objective(candidate.prediction, minimise))
    plan = replace(best.split.plan, policy=best.policy)
    return Choice(replace(best.split, plan=plan), best.prediction, tuple(candidates))


def weigh(split: Split, cluster: Cluster, policy: Policy, minimise: Objective) -> Candidate:
    """Predict a split: one frame for its latency, or many in flight for throughput."""
    flight = 2 * len(cluster.devices) if minimise == "throughput" else 1
    prediction = predict(
        split.plan, cluster, frames=4 * flight if flight > 1 else 1, in_flight=flight, policy=policy
    )
    return Candidate(split, policy, prediction, prediction.fits)


def fixed_splits(graph: NetworkGraph, name: str, devices: int) -> Iterator[Split]:
    """Yield every way that the papers compare, for a number of devices.

    Those that the network does not allow are left out.
    """
    makers: list[Callable[[], Split]] = [
        lambda: split_whole(graph, name),
        lambda: split_whole(graph, name, replicas=devices),
        lambda: split_pipeline(graph, name, devices),
        lambda: split_strips(graph, name, devices),
        *(
            lambda mode=mode: split_layers(graph, name, devices, mode=mode)
            for mode in ("output", "input", "spatial")
        ),
        *(
            lambda grid=grid, reuse=reuse: split_ftp(graph, name, grid, reuse=reuse)
            for grid in _grids(devices)
            for reuse in (False, True)
        ),
    ]
    for make in makers:
        try:
            yield make()
        except PlanError:
            continue


def _grids(devices: int) -> list[tuple[int, int]]:
    """Return grids with about as many tiles as devices: squarest, strips, and one finer."""
    rows = max(row for row in range(1, isqrt(devices) + 1) if devices % row == 0)
    side = isqrt(devices - 1) + 1
    return list(dict.fromkeys([(rows, devices // rows), (devices, 1), (side, side), (5, 5)]))


def _own_splits(
    search: SegmentSearch, graph: NetworkGraph, name: str, cluster: Cluster, price: float
) -> Iterator[Split]:
    """Yield strips and stages to the devices' measure, and the best segments for any number."""
    speeds = search.speeds()
    if len(set(speeds)) > 1 and fusible_ends(graph):
        yield split_strips(graph, name, len(speeds), weights=speeds)
        yield split_pipeline(graph, name, len(speeds), speeds=speeds)
    found = set()
    for count in range(1, len(cluster.devices) + 1):
        segments = search.best(count, price)
        if segments not in found:
            found.add(segments)
            yield split_segments(graph, name, "auto", segments, len(cluster.devices))


def policies_of(plan: Plan) -> tuple[Policy, ...]:
    """Return the policies worth trying: stealing is for tasks that any device may run."""
    unbound = any(task.device is None for task in plan.tasks)
    return ("static", "stealing") if unbound else ("static",)


def objective(prediction: Prediction, minimise: Objective) -> float:
    """Return what is to be small: ms, ms between frames, or bytes."""
    if minimise == "latency":
        return prediction.latency_ms.p50
    if minimise == "throughput":
        return 1000.0 / prediction.frames_per_second
    return float(largest_memory(prediction))


def largest_memory(prediction: Prediction) -> int:
    """Return the bytes of the device that needs the most."""
    return max(device.memory_bytes for device in prediction.devices)
