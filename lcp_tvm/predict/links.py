"""The network at work: when each message has the medium, and when it arrives.

A message occupies the medium, or the ports of its sender and receiver, for its bytes; first come,
first served. Latency and jitter follow the transmission, and others transmit meanwhile. Since a
queue that serves in order is known by the time at which it is free, a message takes one event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy import Environment

from lcp_tvm.predict.clock import T, after
from lcp_tvm.predict.cluster import Cluster, Jitter
from lcp_tvm.predict.trace import Span

_DRAWS = 1024


@dataclass(slots=True)
class _Packet:
    """A message under way."""

    target: int
    air_ms: float
    nbytes: int
    name: str
    arrived: Callable[[Any], None]
    value: Any


class Links:
    """Carries messages between machines of a cluster.

    Attributes
    ----------
    sent_bytes : by sender and receiver, as ``sent_bytes[sender * machines + receiver]``.
    """

    def __init__(
        self, env: Environment, cluster: Cluster, seed: int, spans: list[Span] | None
    ) -> None:
        names = [machine.name for machine in cluster.machines]
        network = cluster.network
        self.messages = 0
        self.sent_bytes = [0] * len(names) ** 2
        self._names = names
        self._env = env
        self._latency_ms = network.latency_ms
        self._ms_per_byte = network.air_ms(1)
        self._jitter_ms = jitter_draws(network.jitter, seed)
        self._spans = spans
        self._air_free = 0.0
        self._out_free = [0.0] * len(names)
        self._in_free = [0.0] * len(names)
        self._switched = network.medium == "switched"

    def send(
        self,
        source: int,
        target: int,
        nbytes: int,
        name: str,
        arrived: Callable[[T], None],
        value: T,
    ) -> float:
        """Send a message, after those that wait for the same medium or port.

        Returns
        -------
        When it has left its sender.
        """
        self.messages += 1
        self.sent_bytes[source * len(self._names) + target] += nbytes
        now: float = self._env.now
        air_ms = nbytes * self._ms_per_byte
        if self._switched:
            start = max(now, self._out_free[source])
            self._out_free[source] = start + air_ms
            packet = _Packet(target, air_ms, nbytes, name, arrived, value)
            if start > now:
                after(self._env, start - now, self._forward, packet)
            else:
                self._forward(packet)
        else:
            start = max(now, self._air_free)
            self._air_free = start + air_ms
            self._deliver(start, _Packet(target, air_ms, nbytes, name, arrived, value))
        if self._spans is not None:
            self._note(source, "send", name, start, air_ms, nbytes)
        return start + air_ms

    def _forward(self, packet: _Packet) -> None:
        """Pass a message on that begins to reach the switch now; its port may be taken."""
        start = max(self._env.now, self._in_free[packet.target])
        self._in_free[packet.target] = start + packet.air_ms
        self._deliver(start, packet)

    def _deliver(self, start: float, packet: _Packet) -> None:
        delay = self._latency_ms
        if self._jitter_ms is not None:
            delay += next(self._jitter_ms)
        wait = start + packet.air_ms + delay - self._env.now
        after(self._env, wait, packet.arrived, packet.value)
        if self._spans is not None:
            name, nbytes = packet.name, packet.nbytes
            self._note(packet.target, "receive", name, start + delay, packet.air_ms, nbytes)

    def _note(
        self, machine: int, lane: str, name: str, start: float, air_ms: float, nbytes: int
    ) -> None:
        assert self._spans is not None
        args = {"bytes": nbytes}
        self._spans.append(Span(self._names[machine], lane, name, start * 1e3, air_ms * 1e3, args))


def jitter_draws(jitter: Jitter, seed: int) -> Iterator[float] | None:
    """Return endless random latencies in milliseconds; None where there is no jitter."""
    if jitter.distribution == "none" or jitter.scale_ms == 0:
        return None
    return _endless(jitter, np.random.default_rng(seed))


def _endless(jitter: Jitter, random: np.random.Generator) -> Iterator[float]:
    while True:
        if jitter.distribution == "uniform":
            draws = random.random(_DRAWS)
        elif jitter.distribution == "exponential":
            draws = random.standard_exponential(_DRAWS)
        else:
            draws = np.exp(jitter.sigma * random.standard_normal(_DRAWS))
        yield from (jitter.scale_ms * draws).tolist()
