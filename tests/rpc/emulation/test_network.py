"""Emulated networks, measured: rate, latency, and that nothing of them is left."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.predict.cluster import Network
from lcp_tvm.rpc.emulation import network as emulation
from lcp_tvm.rpc.emulation.network import EmulatedNetwork, why_not
from lcp_tvm.rpc.emulation.switch import CONGESTION

needs_root = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
WIFI = Network("shared", bandwidth_mbit=62, latency_ms=4)
GIGABIT = Network("switched", bandwidth_mbit=1000, latency_ms=0.3)
TIMEOUT_S = 30.0


class Pair:
    """A connection between machines 0 and 1; whoever gets a whole message answers with a byte."""

    def __init__(self, net: EmulatedNetwork) -> None:
        with net.inside(1), socket.create_server((net.addresses[1], 0)) as listener:
            with net.inside(0):
                address = listener.getsockname()[:2]
                self.near = socket.create_connection(address, timeout=TIMEOUT_S)
            self.far, _ = listener.accept()
        for end in (self.near, self.far):
            end.settimeout(TIMEOUT_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.near.close()
        self.far.close()

    def exchange_s(self, nbytes: int) -> float:
        """Return how long a message and its answer take."""

        def answer() -> None:
            left = nbytes
            while left:
                left -= len(self.far.recv(min(left, 1 << 20)))
            self.far.sendall(b"!")

        answering = Thread(target=answer)
        answering.start()
        begin = time.perf_counter()
        self.near.sendall(bytes(nbytes))
        assert self.near.recv(1) == b"!"
        took = time.perf_counter() - begin
        answering.join()
        return took


@pytest.fixture(params=[WIFI, GIGABIT], ids=["wifi", "gigabit"])
def measured(request: pytest.FixtureRequest) -> Iterator[tuple[Network, Pair]]:
    with EmulatedNetwork(request.param, 2) as net:
        pair = Pair(net)
        pair.exchange_s(1)  # ARP
        net.limit()
        yield request.param, pair
        pair.close()
    assert net.tally.dropped == 0


@needs_root
def test_latency_and_rate_are_the_clusters(measured: tuple[Network, Pair]) -> None:
    """The quickest of some, since others use this machine too; acknowledgements take air."""
    network, pair = measured
    round_trip_ms = 1e3 * min(pair.exchange_s(1) for _ in range(20))
    assert 2 * network.latency_ms <= round_trip_ms < 2 * network.latency_ms + 1
    nbytes = int(network.bandwidth_mbit * 1e6 / 8 / 4)  # a quarter of a second
    seconds = min(pair.exchange_s(nbytes) for _ in range(3)) - round_trip_ms / 1e3
    assert 0.9 * network.bandwidth_mbit < nbytes * 8e-6 / seconds <= network.bandwidth_mbit


@needs_root
def test_until_it_is_limited_a_network_is_quick() -> None:
    """Two megabytes would take 16 s."""
    with EmulatedNetwork(Network("shared", bandwidth_mbit=1, latency_ms=100), 2) as net:
        pair = Pair(net)
        assert pair.exchange_s(2_000_000) < 1.6
        pair.close()


@needs_root
def test_a_machine_is_a_machine() -> None:
    """One device and no way out; the congestion control is ours, whatever this machine's is."""
    with EmulatedNetwork(GIGABIT, 2) as net, net.inside(0):
        assert [name for _, name in socket.if_nameindex()][-1:] == ["eth0"]
        with socket.socket() as unconnected:
            control = unconnected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        assert control.rstrip(b"\0").decode() == CONGESTION
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("192.0.2.1", 80), timeout=TIMEOUT_S)


@needs_root
def test_networks_side_by_side_do_not_meet() -> None:
    with EmulatedNetwork(GIGABIT, 2) as one, EmulatedNetwork(GIGABIT, 2) as other:
        assert one.addresses == other.addresses
        with one.inside(1):
            listener = socket.create_server((one.addresses[1], 0))
        with listener, other.inside(0), pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname()[:2], timeout=TIMEOUT_S)


@needs_root
def test_nothing_is_left_when_its_maker_is_killed() -> None:
    """The switch sees its lifeline close, and the namespaces go with it."""
    code = (
        "import time\n"
        "from lcp_tvm.predict.cluster import Network\n"
        "from lcp_tvm.rpc.emulation.network import EmulatedNetwork\n"
        "with EmulatedNetwork(Network('shared', 62), 2) as net:\n"
        "    print(net._switch.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with maker:
        assert maker.stdout is not None
        switch = os.pidfd_open(int(maker.stdout.readline()))
        maker.send_signal(signal.SIGKILL)
        assert select.select([switch], [], [], TIMEOUT_S)[0] == [switch]  # it has ended
    os.close(switch)


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation.os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="need root, for network namespaces"):
        EmulatedNetwork(WIFI, 2)
