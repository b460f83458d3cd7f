"""One small int8 network, split in every way, as packages with the answers that they must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.network import Network
from lcp_tvm.package import Package, write_package
from lcp_tvm.split_text import Auto, SplitSpec, parse_split
from lcp_tvm.targets import parse_targets
from tests.quantise.float_builder import Floats, network, pictures

SPLITS = (
    "none",
    "replicate:3",
    "pipeline:3",
    "layers:4",
    "layers:3:input",
    "layers:2:spatial",
    "strips:3",
    "ftp:2x2",
    "ftp:3x3@3",
    "ftp:3x3@3:reuse",
    "ftp:2x4@4:reuse",
    "lcp:2",
    "lcp:4",
    "auto",
)
"""Every kind of split; what `auto` finds are segments (see `CLUSTER`)."""

CLUSTER = """
[[devices]]
name = "fast"
kind = "rpi3"
cores = 1

[[devices]]
name = "slow"
kind = "rpi3"
cores = 1
clock_mhz = 900

[network]
medium = "switched"
bandwidth_mbit = 100000
latency_ms = 0.0
"""
"""Unequal devices on a fast network: here segments are better than any split of one kind."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Frames, and what each must become."""

    pictures: Sequence[np.ndarray]
    outputs: Sequence[tuple[np.ndarray, ...]]


def same_bits(outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> bool:
    """Whether arrays are equal in number, type, shape and every bit."""
    return [(a.dtype, a.shape, a.tobytes()) for a in outputs] == [
        (a.dtype, a.shape, a.tobytes()) for a in expected
    ]


def small_network(size: int) -> Network:
    """Return a network with all that splits treat in their own ways, for pictures of that size."""

    def body(f: Floats) -> Any:
        stem = f.relu(f.conv(f.x, 8, 3, "stem"), "stem_out")
        deep = f.relu(f.conv(stem, 8, 3, "deep", groups=8), "deep_out")
        join = f.relu(f.emit(R.add(f.conv(deep, 8, 1, "narrow"), stem), "join"), "join_out")
        less = f.emit(R.nn.max_pool2d(join, [2, 2], strides=[2, 2]), "less")
        wide = f.relu(f.conv(less, 16, 3, "wide"), "wide_out")
        last = f.relu(f.conv(wide, 32, 3, "last"), "last_out")
        pooled = f.emit(R.mean(last, axis=[2, 3], keepdims=True), "pooled")
        flat = f.emit(R.reshape(pooled, (1, 32)), "flat")
        return f.emit(R.add(f.emit(R.matmul(flat, relax.const(f.normal(32, 40)))), bias(f)), "y")

    def bias(f: Floats) -> Any:
        return relax.const(f.normal(40))

    return network(Floats(1, 3, size, size).build(body))


def split_package(split: str, folder: Path, *, target: str = "cpu") -> Package:
    """Compile the network to int8."""
    size = 96 if split == "auto" else 24  # segments only pay when there is more to compute
    compiled = compile_network(
        small_network(size),
        parse_targets(target),
        pictures(4, 3, size, size),
        split=_spec(split, folder),
    )
    return write_package(compiled, folder / "net.lcp")


def compute_answers(package: Package, count: int) -> Answers:
    """Compute so many frames, all of them different, in this process."""
    executor, plan = load_local(package.code()), package.plan()
    shape = package.manifest.input_shape[1:]
    colours = np.random.default_rng(3).normal(size=(count, shape[0], 1, 1))
    frames = [x[None] for x in (pictures(count, *shape) + colours).astype(np.float32)]
    return Answers(frames, [tuple(executor.run(plan, frame)) for frame in frames])


def _spec(split: str, folder: Path) -> SplitSpec:
    if split != "auto":
        return parse_split(split)
    path = folder / "cluster.toml"
    path.write_text(CLUSTER)
    return Auto(path)
