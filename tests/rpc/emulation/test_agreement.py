"""Emulated boards take as long as the predictor says of the same cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from lcp_tvm.compiler import compile_network
from lcp_tvm.package import Package, write_package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.predict.cluster import Cluster, Device, Network
from lcp_tvm.predict.kinds import KINDS
from lcp_tvm.rpc.bench import Bench, Load
from lcp_tvm.rpc.emulation.network import why_not
from lcp_tvm.rpc.emulation.run import LateError, emulate
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from tests.rpc.split_packages import small_network

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

WIFI = Network("shared", bandwidth_mbit=62, latency_ms=4, hops=2)
SIZE = 384
ALONE_S = 3.0
"""A board on its own computes a frame for so long."""

BOARDS = 5
TILES = "ftp:2x3"
"""A board of five has two tiles, and gets its first long before the last has one: in work sharing a
gateway that sends to all at once is 14 % later than one that turns to one after the other."""


@pytest.fixture(scope="module")
def package_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Package]:
    """Return what compiles a small network, split in some way, once."""

    @cache
    def compiled(split: str) -> Package:
        made = compile_network(small_network(SIZE), parse_targets("cpu"), split=parse_split(split))
        return write_package(made, tmp_path_factory.mktemp("package") / "net.lcp")

    return compiled


def boards(package: Package) -> Cluster:
    """Return slow boards and a gateway on a WiFi."""
    plan = package.plan()
    macs = sum(plan.functions[task.function].cost.macs for task in plan.tasks)
    kind = replace(KINDS["rpi3"], float32_macs=macs / ALONE_S, elements=1e9, overhead_ms=0)
    names = (*(f"d{number}" for number in range(BOARDS)), "gateway")
    *devices, gateway = (Device(name, kind, 1, kind.clock_mhz, 1024) for name in names)
    return Cluster("slow", tuple(devices), WIFI, gateway)


def emulated(package: Package, cluster: Cluster, policy: Policy) -> Bench:
    """Emulate, twice as slowly whenever this machine has too much else to do."""
    factor = 1.0
    while True:
        try:
            return emulate(package, cluster, Load(frames=2), policy, factor, False, lambda *_: None)
        except LateError as error:
            factor = error.factor
            if factor > 8:
                raise


@pytest.mark.parametrize(
    ("split", "policy"),
    [
        (TILES, "static"),
        (TILES, "sharing"),
        ("ftp:3x3@3:reuse", "stealing"),
    ],
)
def test_emulated_and_predicted_agree(
    package_of: Callable[[str], Package], split: str, policy: Policy
) -> None:
    package = package_of(split)
    found = emulated(package, boards(package), policy)
    assert found.predicted is not None
    assert found.measured.latency_ms.p50 == pytest.approx(found.predicted.latency_ms.p50, rel=0.1)
    frames_per_second = found.predicted.frames_per_second
    assert found.measured.frames_per_second == pytest.approx(frames_per_second, rel=0.1)
