"""Where workers are found, and what is said when they are not."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tvm.rpc import base

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.rpc.discover import find_workers, load_workers, with_gateway
from lcp_tvm.rpc.tracker import READY_LINE
from lcp_tvm.rpc.workers import Workers
from tests.plan.plans import branches, chain

CLUSTER = """
[[devices]]
kind = "rpi3"
count = 2
address = ["10.0.0.1:9090", "10.0.0.2:9090"]

[gateway]
kind = "x86"

[network]
medium = "switched"
bandwidth_mbit = 100
"""
EDGES = (("10.0.0.1", 9090), ("10.0.0.2", 9090))


def cluster_file(folder: Path, text: str) -> Path:
    path = folder / "boards.toml"
    path.write_text(text)
    return path


@pytest.fixture
def tracker() -> Iterator[str]:
    """Return the address of ``lcp-tvm tracker``, which ends on Ctrl-C."""
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


def test_a_list() -> None:
    assert find_workers("10.0.0.1:9090, 10.0.0.2:9090") == Workers(EDGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "address 'localhost': must be HOST:PORT"),
        ("localhost:1,", "address '': must be HOST:PORT"),
        ("localhost:1,localhost:1", "an address is there twice"),
        ("tracker://here", "address 'here': must be HOST:PORT"),
    ],
)
def test_a_list_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_workers(text)


def test_the_last_of_one_more_than_devices_is_the_gateway() -> None:
    """Where there is something for a gateway to do."""
    three = Workers((*EDGES, ("g", 1)))
    assert with_gateway(three, branches(2), None) == Workers(EDGES, ("g", 1))
    assert with_gateway(three, branches(3), None) == three
    assert with_gateway(three, chain(2), None) == three
    assert with_gateway(three, chain(2), "stealing") == Workers(EDGES, ("g", 1))
    given = replace(three, gateway=("h", 1))
    assert with_gateway(given, branches(2), None) == given


def test_a_cluster_file(tmp_path: Path) -> None:
    found = load_workers(cluster_file(tmp_path, CLUSTER))
    assert (found.devices, found.gateway) == (EDGES, None)
    assert found.cluster is not None
    assert found.cluster.name == "boards"
    text = CLUSTER.replace('"x86"', '"x86"\naddress = "10.0.0.9:1"')
    assert load_workers(cluster_file(tmp_path, text)).gateway == ("10.0.0.9", 1)


def test_a_cluster_file_without_addresses(tmp_path: Path) -> None:
    text = "\n".join(line for line in CLUSTER.splitlines() if "address" not in line)
    with pytest.raises(InputError, match="rpi3-0 has no address; write address"):
        load_workers(cluster_file(tmp_path, text))


def test_a_cluster_file_with_an_address_twice(tmp_path: Path) -> None:
    text = CLUSTER.replace("10.0.0.2", "10.0.0.1")
    with pytest.raises(InputError, match="an address is there twice"):
        load_workers(cluster_file(tmp_path, text))


@contextmanager
def registered(tracker: str, servers: Mapping[int, str]) -> Iterator[None]:
    """Servers of some ports and keys at a tracker."""
    host, port = tracker.split(":")
    with ExitStack() as stack:
        for number, key in servers.items():
            connection = stack.enter_context(socket.create_connection((host, int(port)), 10.0))
            connection.sendall(struct.pack("<i", base.RPC_TRACKER_MAGIC))
            base.recvall(connection, 4)
            facts = {"key": f"server:{key}", "addr": ["127.0.0.1", number]}
            base.sendjson(connection, [base.TrackerCode.UPDATE_INFO, facts])
            assert base.recvjson(connection) == base.TrackerCode.SUCCESS
        yield


def test_workers_of_a_tracker_are_ours_alone_in_order(tracker: str) -> None:
    with registered(tracker, {9002: "lcp-b", 9003: "other", 9001: "lcp-a"}):
        found = find_workers(f"tracker://{tracker}")
    assert found == Workers((("127.0.0.1", 9001), ("127.0.0.1", 9002)))


def test_a_tracker_without_workers(tracker: str) -> None:
    with registered(tracker, {9003: "other"}), pytest.raises(WorkerError, match="no worker is"):
        find_workers(f"tracker://{tracker}")


def test_a_tracker_that_is_not_there() -> None:
    refused = r"Connection refused; start one with 'lcp-tvm tracker'"
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else is given the port meanwhile
        with pytest.raises(WorkerError, match=refused):
            find_workers(f"tracker://127.0.0.1:{deaf.getsockname()[1]}")


def test_a_server_that_is_no_tracker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WorkerError, match="it is no TVM RPC tracker"):
            find_workers(f"tracker://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
