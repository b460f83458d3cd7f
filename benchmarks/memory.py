"""Memory of lcp-agent, idle and while it runs tiles of YOLOv2, as /proc says: a CSV.

    python benchmarks/memory.py [FRAMES]

The first 16 layers at 608x608, 5x5 tiles, float32: 13.4 MB of weights. Agents compute with one
thread. ``idle_mb`` is resident before a session, ``peak_mb`` the most that ever was (VmHWM) of the
session's process, ``data_mb`` the most of it that is not of files (RssAnon, looked at every 2 ms).
Of the edge devices, the worst.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compiler import compile_network  # noqa: E402
from lcp_tvm.network import Network, Preprocess  # noqa: E402
from lcp_tvm.package import Package, write_package  # noqa: E402
from lcp_tvm.plan.plan import Policy  # noqa: E402
from lcp_tvm.rpc.cluster import Cluster  # noqa: E402
from lcp_tvm.rpc.settings import Settings  # noqa: E402
from lcp_tvm.rpc.workers import Workers  # noqa: E402
from lcp_tvm.split_text import parse_split  # noqa: E402
from lcp_tvm.targets import parse_targets  # noqa: E402
from tests.rpc.processes import WorkerProcess, worker_processes  # noqa: E402
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
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


def status_mb(pid: int, field: str) -> float:
    """Return a field of /proc/PID/status, 0 once the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    lines = dict(line.split(":", 1) for line in text.splitlines())
    return int(lines.get(field, "0 kB").split()[0]) * 1024 / 1e6


class Watch:
    """The most that some processes have held, from one moment to another."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.data_mb = 0.0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def peak_mb(self) -> float:
        return max(status_mb(pid, "VmHWM") for pid in self._pids)

    def _look(self) -> None:
        while not self._done.wait(LOOK_S):
            self.data_mb = max(self.data_mb, *(status_mb(pid, "RssAnon") for pid in self._pids))


def compile_tiles(split: str, folder: Path) -> Package:
    shape = (1, 3, SIZE, SIZE)
    network = Network("yolov2", yolov2(SIZE), "image", shape, Preprocess(shape[2:]))
    compiled = compile_network(network, parse_targets("cpu"), split=parse_split(split))
    return write_package(compiled, folder / f"{split.replace(':', '-')}.lcp")


def session_pids(workers: Sequence[WorkerProcess]) -> list[int]:
    return [process.pid for worker in workers for process in worker.processes()]


async def measure(
    package: Package, way: Way, workers: Sequence[WorkerProcess], frames: int
) -> tuple[float, float]:
    """Return the peak and the peak of data, in MB."""
    *devices, gateway = workers
    members = Workers(tuple(worker.address for worker in devices), gateway.address)
    settings = Settings(policy=way.policy, in_flight=1, deadline_s=600.0)
    x = np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    async with Cluster(package, members, settings) as cluster:
        with Watch(session_pids(devices)) as watch:
            for _ in range(frames):
                await cluster.infer(x)
        return watch.peak_mb(), watch.data_mb


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    rows = [("split", "policy", "devices", "idle_mb", "peak_mb", "data_mb")]
    with tempfile.TemporaryDirectory() as name:
        packages = {split: compile_tiles(split, Path(name)) for split in {w.split for w in WAYS}}
        for way in WAYS:
            with worker_processes(way.devices + 1, cores=1) as workers:
                idle = max(status_mb(worker.pid, "VmRSS") for worker in workers)
                peak, data = asyncio.run(measure(packages[way.split], way, workers, frames))
            row = (way.split, way.policy, str(way.devices))
            rows.append((*row, f"{idle:.1f}", f"{peak:.1f}", f"{data:.1f}"))
            print(*rows[-1], flush=True)
    with OUTPUT.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
