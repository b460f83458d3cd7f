"""How much faster two workers are than one, for real, on two cores of this machine: a CSV.

    python benchmarks/two_workers.py [ROUNDS]

Float networks with random weights, through TVM's untuned code. Each worker has one core, and the
orchestrator none of its own. From the picture at the orchestrator to the answer there, one frame at
a time, in turns; medians.
"""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compiler import compile_network  # noqa: E402
from lcp_tvm.frontend.onnx import load_onnx  # noqa: E402
from lcp_tvm.network import Network, Preprocess  # noqa: E402
from lcp_tvm.package import Package, write_package  # noqa: E402
from lcp_tvm.plan.plan import Policy  # noqa: E402
from lcp_tvm.rpc.blocking import BlockingCluster  # noqa: E402
from lcp_tvm.rpc.settings import Settings  # noqa: E402
from lcp_tvm.rpc.workers import Workers  # noqa: E402
from lcp_tvm.split_text import parse_split  # noqa: E402
from lcp_tvm.targets import parse_targets  # noqa: E402
from tests.networks import resnet18  # noqa: E402
from tests.rpc.processes import worker_processes  # noqa: E402
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True, slots=True)
class Way:
    """A network, how it is split, and on how many workers it runs."""

    network: str
    split: str
    workers: int
    policy: Policy = "static"


WAYS = (
    Way("yolov2-16 at 304", "none", 1),
    Way("yolov2-16 at 304", "ftp:2x2:reuse", 2),
    Way("yolov2-16 at 304", "ftp:2x2:reuse", 2, "stealing"),
    Way("resnet18 at 224", "none", 1),
    Way("resnet18 at 224", "lcp:2", 2),
)


def load(name: str, folder: Path) -> Network:
    """Make a network from its name."""
    kind, size = name.split(" at ")
    if kind == "resnet18":
        path = folder / "resnet18.onnx"
        onnx.save(resnet18(int(size)), path)
        return load_onnx(path)
    shape = (1, 3, int(size), int(size))
    return Network("yolov2", yolov2(int(size)), "image", shape, Preprocess(shape[2:]))


def package(way: Way, folder: Path) -> Package:
    """Compile a network for this machine."""
    path = folder / f"{way.network}-{way.split.replace(':', '-')}.lcp"
    network = load(way.network, folder)
    compiled = compile_network(network, parse_targets("cpu"), split=parse_split(way.split))
    return write_package(compiled, path)


@contextlib.contextmanager
def running(way: Way, folder: Path) -> Iterator[Callable[[], float]]:
    """Workers that each have a core of their own; a call takes a frame and returns its seconds."""
    code = package(way, folder)
    x = np.random.default_rng(0).normal(size=code.manifest.input_shape).astype(np.float32)
    settings = Settings(policy=way.policy, in_flight=1, deadline_s=120.0)
    with worker_processes(way.workers, pinned=True) as processes:
        workers = Workers(tuple(worker.address for worker in processes))
        with BlockingCluster(code, workers, settings) as cluster:

            def frame() -> float:
                begin = time.perf_counter()
                cluster.infer(x)
                return time.perf_counter() - begin

            frame()
            yield frame


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        frames = [stack.enter_context(running(way, Path(name))) for way in WAYS]
        times: list[list[float]] = [[] for _ in WAYS]
        for _ in range(rounds):
            for found, frame in zip(times, frames, strict=True):
                found.append(frame())
    rows = [("network", "split", "policy", "workers", "ms", "speedup")]
    unsplit = {
        way.network: median(found)
        for way, found in zip(WAYS, times, strict=True)
        if way.split == "none"
    }
    for way, found in zip(WAYS, times, strict=True):
        ms = median(found)
        speedup = f"{unsplit[way.network] / ms:.2f}"
        rows.append(
            (way.network, way.split, way.policy, str(way.workers), f"{ms * 1e3:.0f}", speedup)
        )
    with OUTPUT.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    print(OUTPUT.read_text(), end="")


if __name__ == "__main__":
    main()
