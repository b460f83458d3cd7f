"""Frames on media of both sorts: the predictor's arrivals, and what real networks have besides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from lcp_tvm.predict.cluster import Cluster, Jitter, Network
from lcp_tvm.predict.links import Links
from lcp_tvm.rpc.emulation import medium
from lcp_tvm.rpc.emulation.medium import EVERYBODY, Medium, Packet
from tests.predict.small import cluster

MACHINES = 4
Frame = tuple[float, int, int, int]
"""When it is sent, sender, receiver, bytes."""


def emulated(network: Network, frames: Sequence[Frame], seed: int = 0) -> list[tuple[float, int]]:
    """Offer frames in order of time, and return when each arrives where."""
    found = Medium(network, MACHINES, seed)
    log: list[tuple[float, int]] = []

    def until(end: float) -> None:
        while found.next_ms is not None and found.next_ms <= end:
            log.extend((when, target) for when, target, _ in found.due(found.next_ms))

    for at, source, target, nbytes in frames:
        until(at)
        found.offer(at, Packet(source, target, bytes(nbytes)))
    until(float("inf"))
    return log


def predicted(where: Cluster, frames: Sequence[Frame]) -> list[tuple[float, int]]:
    """Return when the predictor has messages of these sizes arrive."""
    env = Environment()
    links = Links(env, where, 0, None)
    log: list[tuple[float, int]] = []

    def sender(frame: Frame) -> object:
        at, source, target, nbytes = frame
        yield env.timeout(at)
        links.send(source, target, nbytes, "", lambda t: log.append((env.now, t)), target)

    for frame in frames:
        env.process(sender(frame))  # type: ignore[arg-type]
    env.run()
    return log


@st.composite
def traffic(draw: st.DrawFn) -> list[Frame]:
    """Frames between different machines; no two ever wait for a port from the same time on."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        time = draw(st.integers(0, 20)) + number / 16
        source = draw(st.integers(0, MACHINES - 1))
        target = (source + draw(st.integers(1, MACHINES - 1))) % MACHINES
        found.append((time, source, target, draw(st.integers(1, 40))))
    return sorted(found)


@pytest.mark.parametrize("hops", [1, 2])
@given(frames=traffic())
def test_a_shared_medium_is_the_predictors(hops: int, frames: list[Frame]) -> None:
    where = cluster(MACHINES, medium="shared", hops=hops, latency_ms=3)
    assert emulated(where.network, frames) == predicted(where, frames)


@given(frames=traffic())
def test_a_switch_is_the_predictors(frames: list[Frame]) -> None:
    where = cluster(MACHINES, latency_ms=3)
    assert emulated(where.network, frames) == predicted(where, frames)


@pytest.mark.parametrize("kind", ["shared", "switched"])
def test_a_broadcast_reaches_all_others(kind: str) -> None:
    """It takes the air, or its sender's port, once."""
    network = cluster(MACHINES, medium=kind).network  # type: ignore[arg-type]
    found = emulated(network, [(0, 1, EVERYBODY, 5), (0, 1, 0, 5)])
    assert found == [(5, 0), (5, 2), (5, 3), (10, 0)]


def test_a_frame_for_nobody_goes_nowhere() -> None:
    assert emulated(cluster(MACHINES).network, [(0, 0, 9, 5)]) == []


def test_jitter_does_not_change_the_order_of_a_connection() -> None:
    """TCP would take frames that overtake each other for lost ones."""
    network = Network("shared", 8, 0, 1, Jitter("uniform", 50))
    found = Medium(network, 2)
    for number in range(20):
        found.offer(number, Packet(0, 1, bytes([number])))
    assert [data[0] for _, _, data in found.due(1e6)] == list(range(20))


def test_a_full_queue_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medium, "QUEUE_BYTES", 10)
    found = Medium(cluster(2, latency_ms=1).network, 2)
    for _ in range(3):
        found.offer(0, Packet(0, 1, bytes(5)))
    assert found.dropped == 1
    assert found.carried_bytes == 10
    assert len(list(found.due(100))) == 2
    found.offer(100, Packet(0, 1, bytes(5)))
    assert found.dropped == 1
