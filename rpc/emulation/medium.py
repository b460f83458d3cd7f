"""When frames arrive, by the model of `lcp_tvm.predict.links`: the same rules, a frame at a time.

    shared     one frame at a time is on the air, first come first served; then latency
    switched   a frame takes its sender's port, then, as soon as that is free, its receiver's

Pure: times in, times out. No clock, no sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from lcp_tvm.predict.cluster import Network
from lcp_tvm.predict.links import jitter_draws

QUEUE_BYTES = 64 << 20
"""Frames that come when so much is under way are dropped; TCP's windows end long before."""

EVERYBODY = -1


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame.

    Attributes
    ----------
    target : the number of a machine, or EVERYBODY.
    """

    source: int
    target: int
    data: bytes


class Medium:
    """Frames under way.

    Attributes
    ----------
    dropped : frames that found the queue full.
    carried_bytes : of frames that it took.
    """

    def __init__(self, network: Network, machines: int, seed: int = 0) -> None:
        self.dropped = 0
        self.carried_bytes = 0
        self._network = network
        self._jitter_ms = jitter_draws(network.jitter, seed)
        self._switched = network.medium == "switched"
        self._machines = range(machines)
        self._air_free = 0.0
        self._out_free = [0.0] * machines
        self._in_free = [0.0] * machines
        self._arrived = [0.0] * machines**2
        self._queued_bytes = 0
        self._order = 0
        self._events: list[tuple[float, int, bool, int, Packet]] = []

    @property
    def next_ms(self) -> float | None:
        """When `due` has something to do; None while nothing is under way."""
        return self._events[0][0] if self._events else None

    def offer(self, now: float, packet: Packet) -> None:
        """Take a frame from its sender, at a time in milliseconds."""
        size = len(packet.data)
        if self._queued_bytes + size > QUEUE_BYTES:
            self.dropped += 1
            return
        self.carried_bytes += size
        air_ms = self._network.air_ms(size)
        if self._switched:
            start = max(now, self._out_free[packet.source])
            self._out_free[packet.source] = start + air_ms
        else:
            start = max(now, self._air_free)
            self._air_free = start + air_ms
        for target in self._targets(packet):
            self._queued_bytes += size
            if self._switched:
                self._push(start, False, target, packet)
            else:
                self._deliver(start + air_ms, target, packet)

    def due(self, now: float) -> Iterator[tuple[float, int, bytes]]:
        """Hand out what has arrived by now: when, the machine, the frame."""
        while self._events and self._events[0][0] <= now:
            when, _, arrived, target, packet = heappop(self._events)
            if arrived:
                self._queued_bytes -= len(packet.data)
                yield when, target, packet.data
                continue
            start = max(when, self._in_free[target])
            self._in_free[target] = start + self._network.air_ms(len(packet.data))
            self._deliver(self._in_free[target], target, packet)

    def _targets(self, packet: Packet) -> Iterator[int]:
        if packet.target == EVERYBODY:
            yield from (machine for machine in self._machines if machine != packet.source)
        elif packet.target in self._machines:
            yield packet.target

    def _deliver(self, sent: float, target: int, packet: Packet) -> None:
        """Have a frame arrive, after those that the same two exchanged before."""
        delay = self._network.latency_ms
        if self._jitter_ms is not None:
            delay += next(self._jitter_ms)
        pair = packet.source * len(self._machines) + target
        self._arrived[pair] = max(self._arrived[pair], sent + delay)
        self._push(self._arrived[pair], True, target, packet)

    def _push(self, when: float, arrived: bool, target: int, packet: Packet) -> None:
        self._order += 1
        heappush(self._events, (when, self._order, arrived, target, packet))
