"""Agents on emulated boards: networks run on the board's accelerator, over RPC."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lcp_tvm.errors import LcpError, WorkerError
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.control import PIECE_BYTES, FarNode
from lcp_tvm.rpc.discover import find_workers
from lcp_tvm.rpc.session import WorkerSession, run_worker
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.worker import agent_command
from tests.board.boards import build_fake, emulated_board, install
from tests.rpc.split_packages import compute_answers, same_bits, split_package

FRAMES = 2


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Path]:
    with emulated_board(tmp_path / "board") as root:
        yield root


@contextmanager
def agent_on(board: Path) -> Iterator[str]:
    """Run an agent that thinks it is on the board; its address."""
    command = [*agent_command(config="pynq_z1", attached=True), "--board", "auto"]
    with run_worker(["env", f"LCP_FAKE_BOARD={board}", *command, "--root", str(board)]) as address:
        yield "{}:{}".format(*address)


def test_a_network_has_the_bits_of_this_machine(board: Path, tmp_path: Path) -> None:
    build_fake("xrt", tmp_path / "xrt.so")
    install(board, "xrt", tmp_path)
    package = split_package("none", tmp_path, target="vta:pynq_z1")
    answers = compute_answers(package, FRAMES)
    with (
        agent_on(board) as address,
        BlockingCluster(package, find_workers(address), Settings()) as cluster,
    ):
        for frame, expected in zip(answers.pictures, answers.outputs, strict=True):
            assert same_bits(cluster.infer(frame), expected)


def test_a_board_without_memory_says_so_to_the_client(board: Path, tmp_path: Path) -> None:
    package = split_package("none", tmp_path, target="vta:pynq_z1")
    answers = compute_answers(package, 1)
    with (
        agent_on(board) as address,
        BlockingCluster(package, find_workers(address), Settings()) as cluster,
        pytest.raises(LcpError, match=r"no contiguous memory .*modprobe u-dma-buf"),
    ):
        cluster.infer(answers.pictures[0])


def test_it_probes(board: Path) -> None:
    command = [*agent_command(config="pynq_z1"), "--board", "auto", "--root", str(board), "--probe"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    facts = {name: (value, cure) for name, value, cure in json.loads(done.stdout)}
    assert facts["FPGA manager"] == ("operating", "")
    assert "modprobe" in facts["allocator"][1]
    assert "self-test" not in facts


def test_a_board_needs_its_config() -> None:
    done = subprocess.run(
        [*agent_command(), "--board", "auto"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--board needs the board's config; say it with --vta" in done.stderr


def test_an_agent_killed_during_an_upload_takes_it_again_whole(tmp_path: Path) -> None:
    """As when a board loses power: what had come is not taken for the file."""
    data = bytes(range(256)) * (4 * PIECE_BYTES // 256)
    sha256 = hashlib.sha256(data).hexdigest()
    command = agent_command(files=tmp_path / "files", attached=True)
    with run_worker(command) as address, WorkerSession.connect(*address) as session:
        node = FarNode(session)
        for offset in (0, PIECE_BYTES):
            piece = data[offset : offset + PIECE_BYTES]
            node.call("store", sha256, offset, len(data), piece)
        for process in psutil.Process().children(recursive=True):
            if process.name() == "lcp-agent":
                process.kill()
        with pytest.raises(WorkerError, match=f"{address[0]}:{address[1]}"):
            node.call("store", sha256, 2 * PIECE_BYTES, len(data), data[:PIECE_BYTES])
    (left,) = (tmp_path / "files").iterdir()
    os.utime(left, (0, 0))  # long ago
    with run_worker(command) as address, WorkerSession.connect(*address) as session:
        node = FarNode(session)
        assert json.loads(str(node.call("has", json.dumps([sha256])))) == []
        assert node.upload({sha256: data}) == len(data)
        assert json.loads(str(node.call("has", json.dumps([sha256])))) == [sha256]
    assert [path.name for path in (tmp_path / "files").iterdir()] == [sha256]
