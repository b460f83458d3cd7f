"""``lcp-tvm worker``: says where it listens, and in one line why it does not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from lcp_tvm.rpc.session import WorkerSession, parse_address
from lcp_tvm.rpc.worker import READY_LINE
from tests.cli.refused import refused

Capture = pytest.CaptureFixture[str]


def test_says_where_it_listens_and_ends_on_ctrl_c() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lcp_tvm.cli", "worker", "--vta", "sim"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"{READY_LINE} 127.0.0.1:")
    with WorkerSession.connect(*parse_address(line.removeprefix(READY_LINE))) as session:
        assert session.facts["config"] == "sim"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "lcp_tvm.cli", "worker", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"lcp-tvm: worker: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another --host or --port (0: a free one)\n"
    )


def test_an_unknown_config(capfd: Capture) -> None:
    assert "pynq_z3" in refused(capfd, "worker", "--vta", "pynq_z3")


def test_a_tracker_that_is_no_address(capfd: Capture) -> None:
    assert "must be HOST:PORT" in refused(capfd, "worker", "--tracker", "here")
