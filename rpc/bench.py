"""What frames take on a cluster: latency, throughput, traffic, beside what was predicted.

Frames come as the predictor has them come (`lcp_tvm.predict.simulation.Load`): frame n from the
source whose turn it is, when frame n - in_flight is done. Inputs lie at the sources, as a camera's
would.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lcp_tvm.errors import InputError
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.cluster import Cluster as Described
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Latency, Prediction, latency_of
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.inputs import Array, Kept
from lcp_tvm.rpc.launch import Progress
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.statistics import Statistics
from lcp_tvm.rpc.workers import Workers

CAMERA = Kept("camera")


@dataclass(frozen=True, slots=True)
class Load:
    """Frames to measure.

    Attributes
    ----------
    sources : devices that they come from, in turn.
    in_flight : frames that there are at a time.
    """

    frames: int
    sources: tuple[int, ...] = (0,)
    in_flight: int = 1

    @classmethod
    def of(
        cls, frames: int, sources: int | None, in_flight: int | None, cluster: Described | None
    ) -> Load:
        """Return a load of what was asked for.

        Parameters
        ----------
        sources : how many; None takes those of the cluster.
        in_flight : None takes one of each source.

        Raises
        ------
        InputError
            The cluster has fewer devices than there are to be sources.
        """
        if sources is not None and cluster is not None and sources > len(cluster.devices):
            raise InputError(
                f"bench: {sources} sources, and cluster {cluster.name} has "
                f"{len(cluster.devices)} devices; a source is a device"
            )
        found = tuple(range(sources)) if sources else cluster.sources if cluster else (0,)
        return cls(frames, found, in_flight or len(found))


@dataclass(frozen=True, slots=True)
class Measured:
    """What frames took.

    Attributes
    ----------
    latencies_ms : by frame, from when it was asked for until its outputs were here.
    makespan_ms : from the first frame's beginning to the last one's end.
    """

    latencies_ms: tuple[float, ...]
    makespan_ms: float
    statistics: Statistics

    @property
    def latency_ms(self) -> Latency:
        return latency_of(self.latencies_ms)

    @property
    def frames_per_second(self) -> float:
        return 1e3 * len(self.latencies_ms) / self.makespan_ms

    @property
    def bytes_per_frame(self) -> float:
        """Sent by the devices and the gateway."""
        return sum(use.sent_bytes for use in self.statistics.uses) / len(self.latencies_ms)

    @property
    def fallbacks(self) -> int:
        """Tasks that ran without what others could have given them."""
        return sum(use.fallbacks for use in self.statistics.uses)


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured, and what was predicted where the devices are known.

    Attributes
    ----------
    kind : of measurement: "measured" or "emulated".
    conditions : under which, in words.
    """

    measured: Measured
    predicted: Prediction | None
    kind: str
    conditions: str


def bench(
    package: Package,
    workers: Workers | None,
    load: Load,
    policy: Policy | None,
    trace: bool,
    progress: Progress,
) -> Bench:
    """Run frames on real workers; None starts some on this machine.

    Raises
    ------
    WorkerError
        A worker is not there, or a frame failed.
    PackageError, ConfigError
        The package is damaged, or is not for these workers.
    """
    plan = package.plan()
    settings = Settings(
        policy=policy, sources=load.sources, in_flight=load.in_flight, recovery_s=0, trace=trace
    )

    async def run() -> Measured:
        async with Cluster(package, workers, settings, progress=progress) as cluster:
            return await measure(cluster, random_inputs(plan), load)

    measured = asyncio.run(run())
    predicted = None
    if workers is not None and workers.cluster is not None:
        predicted = predicted_for(plan, workers.cluster, load, policy)
    return Bench(measured, predicted, "measured", f"measured on {platform.node()}")


def predicted_for(plan: Plan, cluster: Described, load: Load, policy: Policy | None) -> Prediction:
    """Return what the predictor says of the same frames."""
    return predict(
        plan,
        replace(cluster, sources=load.sources),
        frames=load.frames,
        in_flight=load.in_flight,
        policy=policy,
    )


async def measure(cluster: Cluster, inputs: Sequence[Array], load: Load) -> Measured:
    """Run frames, and one before them that is not counted.

    Raises
    ------
    InputError
        The inputs are not the plan's.
    WorkerError
        A frame failed.
    """
    for source in load.sources:
        await cluster.keep(CAMERA.name, inputs, source=source)
    await cluster.infer(CAMERA, source=load.sources[0])
    await cluster.stats()
    latencies_ms = [0.0] * load.frames

    async def one_after_the_other(slot: int) -> None:
        for frame in range(slot, load.frames, load.in_flight):
            begin = time.perf_counter()
            await cluster.infer(CAMERA, source=load.sources[frame % len(load.sources)])
            latencies_ms[frame] = 1e3 * (time.perf_counter() - begin)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as slots:
        for slot in range(min(load.in_flight, load.frames)):
            slots.create_task(one_after_the_other(slot))
    makespan_ms = 1e3 * (time.perf_counter() - begin)
    return Measured(tuple(latencies_ms), makespan_ms, await cluster.stats())


def random_inputs(plan: Plan, seed: int = 0) -> list[Array]:
    """Return inputs for a plan: pixels, or values about 0."""
    random = np.random.default_rng(seed)

    def one(shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.generic]:
        if np.issubdtype(np.dtype(dtype), np.integer):
            limits = np.iinfo(dtype)
            return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        return random.standard_normal(shape).astype(dtype)

    tensors = [plan.tensors[name] for name in plan.inputs]
    return [one(tensor.shape, tensor.dtype) for tensor in tensors]
