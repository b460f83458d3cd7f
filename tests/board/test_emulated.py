"""Agents on emulated boards give the bits of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from lcp_tvm.board.boards import Machine
from lcp_tvm.compiler import compile_network
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.errors import WorkerError
from lcp_tvm.package import write_package
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.control import FarNode
from lcp_tvm.rpc.discover import find_workers
from lcp_tvm.rpc.session import WorkerSession
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.tracker import READY_LINE
from lcp_tvm.rpc.workers import Workers
from lcp_tvm.targets import parse_targets
from tests.board.agents import TARGETS, emulated_agent, guest_bytes
from tests.board.boards import build_fake, emulated_board, install
from tests.rpc.split_packages import compute_answers, same_bits, small_network, split_package

FRAMES = 3
IDLE_BYTES = 6 << 20
REGISTER_TIMEOUT_S = 60.0
SETTINGS = Settings(deadline_s=300.0)
CONFIGS: dict[Machine, str] = {"armv7l": "pynq_z1", "aarch64": "ultra96"}
MACHINES = [pytest.param(machine, marks=pytest.mark.xdist_group(machine)) for machine in TARGETS]

pytestmark = pytest.mark.slow


@pytest.fixture
def tracker() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "lcp_tvm.cli", "tracker", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().removeprefix(READY_LINE).strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def registered(count: int, tracker: str) -> Workers:
    """Wait until a tracker knows so many workers."""
    deadline = time.monotonic() + REGISTER_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(WorkerError):  # of a tracker that knows none yet
            workers = find_workers(f"tracker://{tracker}")
            if len(workers.devices) == count:
                return workers
        time.sleep(0.1)
    pytest.fail(f"the tracker does not know {count} workers within {REGISTER_TIMEOUT_S:.0f} s")


@pytest.mark.parametrize("machine", MACHINES)
def test_it_says_what_it_is(machine: Machine) -> None:
    config = CONFIGS[machine]
    with emulated_agent(machine, config) as address, WorkerSession.connect(*address) as session:
        facts = FarNode(session).hello()
    # An emulator has all that its family may have, dot products say.
    assert (facts.processor.partition("-")[0], facts.config) == (machine, config)


@pytest.mark.xdist_group("armv7l")
def test_an_idle_agent_leaves_the_boards_memory_to_others() -> None:
    with emulated_agent("armv7l", "pynq_z1"):
        children = psutil.Process().children()
        (process,) = (child for child in children if child.name().startswith("qemu"))
        assert guest_bytes(process.pid) < IDLE_BYTES


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("split", ["none", "lcp:2", "ftp:2x2"])
def test_vta_programs_and_arm_code_give_the_same_bits(
    machine: Machine, split: str, tracker: str, tmp_path: Path
) -> None:
    """Two boards that a tracker knows; their accelerators are simulated."""
    config = CONFIGS[machine]
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    here = split_package(split, tmp_path / "here", target=f"vta:{config}")
    answers = compute_answers(here, FRAMES)
    package = split_package(split, tmp_path / "there", target=f"vta:{config}@arm")
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(emulated_agent(machine, config, "--tracker", tracker))
        workers = registered(2, tracker)
        cluster = stack.enter_context(BlockingCluster(package, workers, SETTINGS))
        for picture, expected in zip(answers.pictures, answers.outputs, strict=True):
            assert same_bits(cluster.infer(picture), expected)


@pytest.mark.parametrize(
    ("machine", "memory"),
    [
        pytest.param("armv7l", "cma", marks=pytest.mark.xdist_group("armv7l")),
        pytest.param("armv7l", "xrt", marks=pytest.mark.xdist_group("armv7l")),
        pytest.param("aarch64", "udmabuf", marks=pytest.mark.xdist_group("aarch64")),
    ],
)
def test_the_driver_gives_the_same_bits(
    machine: Machine, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board's registers and memory are emulated too, and a process has its accelerator."""
    config = CONFIGS[machine]
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    here = split_package("none", tmp_path / "here", target=f"vta:{config}")
    answers = compute_answers(here, FRAMES)
    package = split_package("none", tmp_path / "there", target=f"vta:{config}@arm")
    if memory != "udmabuf":
        triple = parse_target(TARGETS[machine]).zig_triple
        build_fake(memory, tmp_path / f"{memory}.so", "-target", triple)
    with emulated_board(tmp_path / "board", config) as board:
        install(board, memory, tmp_path)
        monkeypatch.setenv("LCP_FAKE_BOARD", str(board))
        with (
            emulated_agent(machine, config, "--board", memory, "--root", str(board)) as address,
            BlockingCluster(package, Workers((address,)), SETTINGS) as cluster,
        ):
            for picture, expected in zip(answers.pictures, answers.outputs, strict=True):
                assert same_bits(cluster.infer(picture), expected)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("split", ["lcp:2", "ftp:2x2"])
def test_arm_code_alone_gives_the_same_bits(machine: Machine, split: str, tmp_path: Path) -> None:
    """The int8 network without an accelerator; one board takes all parts."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    answers = compute_answers(split_package(split, tmp_path / "here"), FRAMES)
    package = split_package(split, tmp_path / "there", target=TARGETS[machine])
    with (
        emulated_agent(machine) as address,
        BlockingCluster(package, Workers((address,)), SETTINGS) as cluster,
    ):
        for picture, expected in zip(answers.pictures, answers.outputs, strict=True):
            assert same_bits(cluster.infer(picture), expected)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_float_network_gives_the_same_numbers(machine: Machine, tmp_path: Path) -> None:
    """Within 1e-5: processors may fuse a multiplication and an addition."""
    here, there = (
        write_package(compile_network(small_network(24), parse_targets(target)), tmp_path / name)
        for target, name in (("cpu", "here.lcp"), (TARGETS[machine], "there.lcp"))
    )
    answers = compute_answers(here, FRAMES)
    with (
        emulated_agent(machine) as address,
        BlockingCluster(there, Workers((address,)), SETTINGS) as cluster,
    ):
        for picture, (expected,) in zip(answers.pictures, answers.outputs, strict=True):
            (found,) = cluster.infer(picture)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
