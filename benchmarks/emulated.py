"""Emulated boards beside the predictor: DeepThings' cluster, and LCP on two PYNQs.

    sudo python benchmarks/emulated.py [--empty] [NAME...]

writes the rows of these names (`runs`; all by default) to benchmarks/emulated.csv, where others
stay as they are. Workers compute every task in full and then wait for their board; one core does
the work of six, in slow motion, so all of it takes hours. With ``--empty`` functions return zeros:
messages, sizes and boards' times are the same, in life's own speed; column ``work`` tells.
``latency_s`` is the median. A run in which anything was late does not count.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import onnx
import tvm
from tvm import relax
from tvm.relax import op as R

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compiler import Compiled, compile_network  # noqa: E402
from lcp_tvm.frontend.export import to_onnx  # noqa: E402
from lcp_tvm.frontend.onnx import load_onnx  # noqa: E402
from lcp_tvm.grouping import group_functions  # noqa: E402
from lcp_tvm.lower import lower_group  # noqa: E402
from lcp_tvm.network import Network  # noqa: E402
from lcp_tvm.package import Package, write_package  # noqa: E402
from lcp_tvm.plan.plan import Function, Policy  # noqa: E402
from lcp_tvm.predict.cluster import Cluster, resized  # noqa: E402
from lcp_tvm.predict.cluster_file import load_cluster  # noqa: E402
from lcp_tvm.rpc.bench import Bench, Load  # noqa: E402
from lcp_tvm.rpc.emulation.run import LateError, emulate  # noqa: E402
from lcp_tvm.split_text import parse_split  # noqa: E402
from lcp_tvm.targets import parse_targets  # noqa: E402
from tests.networks import resnet18  # noqa: E402
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
GRIDS = (3, 4, 5)
ATTEMPTS = 4
"""At a run; each goes at half the speed of the one before, which was late."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one row is of.

    Attributes
    ----------
    hops : in place of the cluster file's; None leaves them.
    frames : of each source.
    """

    name: str
    network: str
    split: str
    cluster: str
    policy: Policy
    devices: int
    sources: int = 1
    hops: int | None = None
    frames: int = 3


def runs() -> Iterator[Run]:
    """All rows: one device, six, six sources, work sharing; the air once; LCP."""
    for side in GRIDS:
        tiles = Run("", "yolov2", f"ftp:{side}x{side}@16", "deepthings-6", "stealing", 6)
        reuse = replace(tiles, split=f"{tiles.split}:reuse")
        for label, run in (("tiles", tiles), ("reuse", reuse)):
            start = f"{label}-{side}x{side}"
            yield replace(run, name=f"{start}-one", devices=1, frames=2)
            yield replace(run, name=f"{start}-six")
            yield replace(run, name=f"{start}-six-sources", sources=6, frames=2)
        yield replace(reuse, name=f"reuse-{side}x{side}-one-hop", hops=1)
        shared = replace(tiles, policy="sharing", sources=6, frames=1)
        yield replace(shared, name=f"tiles-{side}x{side}-shared")
    for split, devices in (("none", 1), ("lcp:2", 2)):
        name = f"resnet18-{split.replace(':', '')}"
        yield Run(name, "resnet18", split, "pynq-2", "static", devices, frames=20)


def measure(run: Run, folder: Path, empty: bool) -> Bench:
    """Emulate one run; ``empty``: with functions that return zeros."""
    cluster = resized(load_cluster(ROOT / f"examples/clusters/{run.cluster}.toml"), run.devices)
    if run.hops is not None:
        cluster = replace(cluster, network=replace(cluster.network, hops=run.hops))
    sources = tuple(range(run.sources))
    load = Load(run.frames * run.sources, sources, run.sources)
    opened = package(run.network, run.split, folder, empty)
    factor = 1.0 if empty else None
    for _ in range(ATTEMPTS):
        try:
            return emulate(opened, cluster, load, run.policy, factor, False, lambda *_: None)
        except LateError as error:
            print(error, file=sys.stderr, flush=True)
            factor = error.factor
    raise SystemExit(f"{run.name}: this machine has too much else to do")


@cache
def package(network: str, split: str, folder: Path, empty: bool) -> Package:
    """Compile a network: YOLOv2's first 16 layers in float, ResNet-18 for the VTA."""
    on_vta = network == "resnet18"
    compiled = compile_network(
        load(network, folder),
        parse_targets("vta" if on_vta else "cpu"),
        split=parse_split(split),
        pixels=on_vta,
    )
    if empty:
        compiled = emptied(compiled)
    return write_package(compiled, folder / f"{network}-{len(list(folder.iterdir()))}.lcp")


def emptied(compiled: Compiled) -> Compiled:
    """Return the same plan with functions that return zeros, on a CPU."""
    targets = parse_targets("cpu")
    functions = tvm.IRModule({name: zeros(f) for name, f in compiled.plan.functions.items()})
    groups = group_functions(compiled.plan, targets)
    modules = tuple(lower_group(group, functions, lambda *_: None) for group in groups)
    return replace(compiled, targets=targets, modules=modules)


def zeros(function: Function) -> relax.Function:
    """Return a Relax function of this signature."""
    args = [
        relax.Var(f"x{number}", relax.TensorType(arg.shape, arg.dtype))
        for number, arg in enumerate(function.args)
    ]
    builder = relax.BlockBuilder()
    with builder.function("main", args):
        with builder.dataflow():
            results = [builder.emit(R.zeros(r.shape, r.dtype)) for r in function.results]
            whole = relax.Tuple(results) if len(results) > 1 else results[0]
            output = builder.emit_output(whole)
        builder.emit_func_output(output)
    return builder.get()["main"]


def load(network: str, folder: Path) -> Network:
    """Import a network; random weights, which do not matter here."""
    path = folder / f"{network}.onnx"
    onnx.save(resnet18() if network == "resnet18" else to_onnx(yolov2()), path)
    return load_onnx(path)


def row(run: Run, bench: Bench, cluster: Cluster, empty: bool) -> dict[str, object]:
    """One line of the table."""
    measured, predicted = bench.measured, bench.predicted
    assert predicted is not None
    seconds, expected = measured.latency_ms.p50 / 1e3, predicted.latency_ms.p50 / 1e3
    return {
        "name": run.name,
        "split": run.split,
        "policy": run.policy,
        "devices": run.devices,
        "sources": run.sources,
        "hops": cluster.network.hops if run.hops is None else run.hops,
        "latency_s": f"{seconds:.4f}",
        "predicted_s": f"{expected:.4f}",
        "latency_ratio": f"{seconds / expected:.3f}",
        "frames_per_second": f"{measured.frames_per_second:.4f}",
        "predicted_fps": f"{predicted.frames_per_second:.4f}",
        "fps_ratio": f"{measured.frames_per_second / predicted.frames_per_second:.3f}",
        "mb_per_frame": f"{measured.bytes_per_frame / 1e6:.3f}",
        "predicted_mb": f"{predicted.bytes_per_frame / 1e6:.3f}",
        "fallbacks": measured.fallbacks,
        "work": "none" if empty else "all",
        "conditions": bench.conditions,
    }


def main() -> None:
    every = {run.name: run for run in runs()}
    empty = "--empty" in sys.argv
    wanted = [name for name in sys.argv[1:] if name != "--empty"] or list(every)
    rows: dict[str, dict[str, object]] = {}
    if OUTPUT.exists():
        with OUTPUT.open(newline="") as stream:
            rows = {line["name"]: dict(line) for line in csv.DictReader(stream)}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            run = every[name]
            cluster = load_cluster(ROOT / f"examples/clusters/{run.cluster}.toml")
            rows[name] = row(run, measure(run, Path(folder), empty), cluster, empty)
            print(*rows[name].values(), flush=True)
            with OUTPUT.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[name]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows[found] for found in every if found in rows)


if __name__ == "__main__":
    main()
