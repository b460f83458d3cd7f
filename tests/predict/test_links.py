"""Messages on media of both sorts, as whole logs of (message, time of arrival)."""

from __future__ import annotations

import statistics

import pytest
from simpy import Environment

from lcp_tvm.predict.cluster import Cluster, Jitter
from lcp_tvm.predict.links import Links
from tests.predict.small import cluster

Message = tuple[float, int, int, int]
"""When it is sent, sender, receiver, bytes."""


def arrivals(where: Cluster, messages: list[Message], seed: int = 0) -> list[tuple[str, float]]:
    """Send messages named a, b, ... and return when each arrives, in order."""
    env = Environment()
    links = Links(env, where, seed, None)
    log: list[tuple[str, float]] = []

    def sender(name: str, message: Message) -> object:
        at, source, target, nbytes = message
        yield env.timeout(at)
        links.send(source, target, nbytes, name, lambda n: log.append((n, env.now)), name)

    for number, message in enumerate(messages):
        env.process(sender(chr(ord("a") + number), message))  # type: ignore[arg-type]
    env.run()
    return log


def test_a_shared_medium_carries_one_message_at_a_time() -> None:
    air = cluster(4, medium="shared")
    assert arrivals(air, [(0, 0, 1, 5), (0, 2, 3, 5), (12, 1, 0, 5)]) == [
        ("a", 5),
        ("b", 10),
        ("c", 17),
    ]


def test_an_access_point_takes_the_air_again() -> None:
    air = cluster(4, medium="shared", hops=2)
    assert arrivals(air, [(0, 0, 1, 5), (0, 2, 3, 5)]) == [("a", 10), ("b", 20)]


def test_latency_is_no_air_time() -> None:
    air = cluster(4, medium="shared", latency_ms=100)
    assert arrivals(air, [(0, 0, 1, 5), (0, 2, 3, 5)]) == [("a", 105), ("b", 110)]


def test_a_switch_serves_pairs_at_once_and_both_ways() -> None:
    switch = cluster(4)
    assert arrivals(switch, [(0, 0, 1, 5), (0, 1, 0, 5), (0, 2, 3, 5)]) == [
        ("a", 5),
        ("b", 5),
        ("c", 5),
    ]


def test_a_port_sends_one_message_at_a_time() -> None:
    assert arrivals(cluster(3), [(0, 0, 1, 5), (0, 0, 2, 5)]) == [("a", 5), ("b", 10)]


def test_a_port_receives_one_message_at_a_time() -> None:
    assert arrivals(cluster(3), [(0, 0, 2, 5), (0, 1, 2, 5)]) == [("a", 5), ("b", 10)]


def test_a_message_that_waits_to_be_sent_keeps_no_receiver_waiting() -> None:
    """b waits behind a for its sender's port; c comes first to the port that both go to."""
    messages = [(0, 0, 1, 20), (0, 0, 2, 5), (1, 3, 2, 5)]
    assert arrivals(cluster(4), messages) == [("c", 6), ("a", 20), ("b", 25)]


@pytest.mark.parametrize(
    ("jitter", "mean"),
    [
        (Jitter("uniform", 10.0), 5.0),
        (Jitter("exponential", 10.0), 10.0),
        (Jitter("lognormal", 10.0, 0.5), 10.0 * 2.718281828 ** (0.5**2 / 2)),
    ],
)
def test_jitter_has_the_mean_of_its_distribution(jitter: Jitter, mean: float) -> None:
    where = cluster(2, latency_ms=100, jitter=jitter)
    messages = [(10 * number, 0, 1, 0) for number in range(5000)]
    sent = {chr(ord("a") + number): message[0] for number, message in enumerate(messages)}
    extra = [time - sent[name] - 100 for name, time in arrivals(where, messages)]
    assert min(extra) >= 0
    assert statistics.fmean(extra) == pytest.approx(mean, rel=0.05)


def test_jitter_depends_on_the_seed_alone() -> None:
    where = cluster(2, jitter=Jitter("exponential", 5.0))
    messages: list[Message] = [(0, 0, 1, 1), (0, 1, 0, 1)]
    assert arrivals(where, messages, seed=1) == arrivals(where, messages, seed=1)
    assert arrivals(where, messages, seed=1) != arrivals(where, messages, seed=2)


def test_bytes_are_counted_by_link() -> None:
    env = Environment()
    links = Links(env, cluster(2), 0, None)
    for nbytes in (3, 4):
        links.send(0, 1, nbytes, "", lambda _: None, None)
    assert (links.messages, links.sent_bytes) == (2, [0, 7, 0, 0])
