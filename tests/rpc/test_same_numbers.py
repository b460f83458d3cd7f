"""Plans on worker processes give the bits of the same plan in this process.

Here a few frames of every split under every policy; `benchmarks/same_numbers.py` runs 200 frames on
every number of workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.program import Pace
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from tests.rpc.processes import worker_processes
from tests.rpc.split_packages import SPLITS, Answers, compute_answers, same_bits, split_package

FRAMES = 24
MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run a package.

    Attributes
    ----------
    workers : devices of the cluster.
    sources : how many of them frames come from.
    patience_ms : how long tasks wait for overlaps; 0 has many take their fallback.
    gateway : whether it is a worker of its own that is given.
    """

    policy: Policy
    workers: int
    sources: int = 1
    in_flight: int = 4
    patience_ms: int = 10_000
    gateway: bool = True


CASES = (
    Case("static", 1),
    Case("static", 2, sources=2),
    Case("static", 3, in_flight=8),
    Case("static", 8, sources=6, in_flight=12),
    Case("sharing", 3, sources=3),
    Case("sharing", 8, sources=6),
    Case("stealing", 1, in_flight=1),
    Case("stealing", 4, sources=1),
    Case("stealing", 6, sources=6, in_flight=12),
    Case("stealing", 8, sources=2, patience_ms=0),
)


@pytest.fixture(scope="module")
def agents() -> Iterator[list[Address]]:
    """Return the addresses of as many workers as any case has, and of a gateway."""
    with worker_processes(MOST_WORKERS + 1) as workers:
        yield [worker.address for worker in workers]


@dataclass(frozen=True, slots=True)
class Net:
    package: Package
    answers: Answers


@pytest.fixture(scope="module", params=SPLITS)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Net:
    package = split_package(request.param, tmp_path_factory.mktemp("net"))
    return Net(package, compute_answers(package, FRAMES))


async def wrong_frames(
    package: Package, case: Case, addresses: Sequence[Address], answers: Answers
) -> list[int]:
    """Run all frames, and return the numbers of those whose bits are others."""
    gateway = addresses[-1] if case.gateway else None
    settings = Settings(
        policy=case.policy,
        sources=tuple(range(case.sources)),
        in_flight=case.in_flight,
        deadline_s=60.0,
        pace=Pace(poll_ms=1, patience_ms=case.patience_ms),
    )
    wrong = []
    async with Cluster(package, Workers(tuple(addresses[: case.workers]), gateway), settings) as c:
        number = 0
        async for outputs in c.stream(answers.pictures):
            if not same_bits(outputs, answers.outputs[number]):
                wrong.append(number)
            number += 1
    assert number == len(answers.pictures)
    return wrong


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.policy}-{c.workers}-{c.sources}")
def test_workers_give_the_bits_of_this_process(net: Net, case: Case, agents: list[Address]) -> None:
    assert asyncio.run(wrong_frames(net.package, case, agents, net.answers)) == []


@pytest.mark.parametrize("policy", ["static", "stealing"])
def test_so_do_workers_with_vta(policy: Policy, tmp_path: Path) -> None:
    package = split_package("ftp:2x2@3:reuse", tmp_path, target="vta")
    answers = compute_answers(package, 6)
    with worker_processes(2) as workers:
        addresses = [worker.address for worker in workers]
        case = Case(policy, 2, sources=2, gateway=False)
        assert asyncio.run(wrong_frames(package, case, addresses, answers)) == []
