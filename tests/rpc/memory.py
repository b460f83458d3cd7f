"""Memory of agents that run tiles of YOLOv2, as /proc says.

The first 16 layers at 608x608 in float32: 13.7 MB of constants. Agents compute with one thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lcp_tvm.compiler import compile_network
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.package import Package, write_package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from tests.rpc.processes import WorkerProcess, worker_processes
from tests.tables.yolov2 import yolov2

SIZE = 608
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Way:
    """How tiles are run."""

    split: str
    devices: int
    policy: Policy


WAYS = (
    Way("ftp:5x5@16", 1, "static"),
    Way("ftp:5x5@16", 4, "stealing"),
    Way("ftp:5x5@16:reuse", 1, "stealing"),
    Way("ftp:5x5@16:reuse", 4, "stealing"),
)


@dataclass(frozen=True, slots=True)
class Used:
    """Of the edge devices, the worst; in MB.

    Attributes
    ----------
    idle : resident before a session (VmRSS).
    peak : the most that the session's process has had resident (VmHWM).
    data : the most of it that is memory of its own (RssAnon, looked at every 2 ms).
    constants : what the device's modules have of them. They are pages of files, so that they
        count in ``peak`` and not in ``data``.
    """

    idle: float
    peak: float
    data: float
    constants: float


def compile_tiles(split: str, folder: Path) -> Package:
    """Compile the layers into a package in this folder."""
    shape = (1, 3, SIZE, SIZE)
    network = Network("yolov2", yolov2(SIZE), "image", shape, Preprocess(shape[2:]))
    compiled = compile_network(network, parse_targets("cpu"), split=parse_split(split))
    return write_package(compiled, folder / f"{split.replace(':', '-')}.lcp")


def measure_memory(package: Package, way: Way, frames: int) -> Used:
    """Run frames on agents of their own."""
    with worker_processes(way.devices + 1, cores=1) as workers:
        idle = max(_status_mb(worker.pid, "VmRSS") for worker in workers)
        return asyncio.run(_measure(package, way, workers, frames, idle))


async def _measure(
    package: Package, way: Way, workers: Sequence[WorkerProcess], frames: int, idle: float
) -> Used:
    *devices, gateway = workers
    members = Workers(tuple(worker.address for worker in devices), gateway.address)
    settings = Settings(policy=way.policy, in_flight=1, deadline_s=600.0)
    x = np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    async with Cluster(package, members, settings) as cluster:
        pids = [process.pid for worker in devices for process in worker.processes()]
        with _Watch(pids) as watch:
            for _ in range(frames):
                await cluster.infer(x)
        peak = max(_status_mb(pid, "VmHWM") for pid in pids)
        statistics = await cluster.stats()
    constants = max(memory.weights for memory in statistics.memory) / 1e6
    return Used(idle, peak, watch.data_mb, constants)


class _Watch:
    """The most memory of their own that some processes have while this is open."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.data_mb = 0.0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(LOOK_S):
            self.data_mb = max(self.data_mb, *(_status_mb(pid, "RssAnon") for pid in self._pids))


def _status_mb(pid: int, field: str) -> float:
    """Return a field of /proc/PID/status, 0 once the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    lines = dict(line.split(":", 1) for line in text.splitlines())
    return int(lines.get(field, "0 kB").split()[0]) * 1024 / 1e6
