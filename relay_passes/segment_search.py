"""Which segments: dynamic programming over fuse points and the kind of split of each segment.

A state is a boundary between layers and how the tensors alive there lie on the devices. Going
from one to a later one costs what must move first, and the slowest device's work on its share.
Devices that take no part in any segment are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from heapq import nsmallest
from math import prod

from lcp_tvm.plan.plan import GATEWAY, ITEM_SIZE, Cost, Device, Function
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.relay_passes.boundaries import Boundary, boundaries
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.split_segments import Kind, Segment, Share, share_of

FUSE_DEPTH = 6
"""Layers that are fused at most where a fuse point lies inside a residual block."""

BEAM = 8
"""States that are kept at each boundary."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How tensors lie: whole or cut, on these devices, in proportion to the weights."""

    kind: Kind
    devices: tuple[Device, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """The cheapest way to a boundary in a layout: its cost in ms, and how it came about."""

    ms: float
    layout: _Layout
    before: _State | None = None
    segment: Segment | None = None


class SegmentSearch:
    """Searches one network on one cluster; what shares take is worked out once."""

    def __init__(self, graph: NetworkGraph, cluster: Cluster) -> None:
        self._graph = graph
        self._cluster = cluster
        self._integer = any(node.dtype == "int8" for node in graph.nodes)
        self._boundaries = boundaries(graph)
        self._share = cache(lambda *key: share_of(graph, *key))

    def best(self, devices: int, byte_price: float = 0.0) -> tuple[Segment, ...]:
        """Return the segments with the least estimated latency.

        Parameters
        ----------
        devices : the fastest so many may be used.
        byte_price : ms that a byte of constants on a device counts, to spare memory.
        """
        layouts = list(self._layouts(devices))
        source = _Layout("one", (self._cluster.sources[0],), (1.0,))
        states = [[_State(0.0, source)]]
        for number, end in enumerate(self._boundaries[1:], start=1):
            found: dict[_Layout, _State] = {}
            for first, start in enumerate(self._boundaries[:number]):
                for layout in layouts:
                    if not _worth_trying(layout, number - first, start, end):
                        continue
                    work = self._work_ms(start, end, layout, byte_price)
                    if work is None:
                        continue
                    for state in states[first]:
                        ms = state.ms + work + self._move_ms(start, end, state.layout, layout)
                        if layout not in found or ms < found[layout].ms:
                            segment = Segment(
                                start, end, layout.kind, layout.devices, layout.weights
                            )
                            found[layout] = _State(ms, layout, state, segment)
            states.append(nsmallest(BEAM, found.values(), key=lambda state: state.ms))
        home = _Layout("one", (GATEWAY,), (1.0,))
        last = min(
            states[-1],
            key=lambda state: (
                state.ms + self._move_ms(self._boundaries[-1], None, state.layout, home)
            ),
        )
        return tuple(reversed(list(_trail(last))))

    def speeds(self) -> tuple[float, ...]:
        """Return the speed of every device on this network, in GMAC per ms."""
        return tuple(1.0 / self._ms(10**9, device) for device in range(len(self._cluster.devices)))

    def _layouts(self, devices: int) -> Iterator[_Layout]:
        """Every kind of split over the fastest 2, 3, ... devices, and each way to use one."""
        speeds = self.speeds()
        ranked = sorted(range(len(speeds)), key=lambda device: -speeds[device])[:devices]
        alone: tuple[Device, ...] = (ranked[0], self._cluster.sources[0], GATEWAY)
        for device in dict.fromkeys(alone):
            yield _Layout("one", (device,), (1.0,))
        for count in range(2, len(ranked) + 1):
            chosen = tuple(sorted(ranked[:count]))
            weights = tuple(speeds[device] for device in chosen)
            yield _Layout("rows", chosen, weights)
            yield _Layout("channels", chosen, weights)

    def _ms(self, macs: int, device: Device) -> float:
        cost = Cost(macs=macs, integer_macs=macs if self._integer else 0)
        return call_ms(Function((), (), cost), self._cluster.machines[self._number(device)])

    def _work_ms(
        self, start: Boundary, end: Boundary, layout: _Layout, byte_price: float
    ) -> float | None:
        """Time of the slowest device; None where the segment cannot be split so."""
        slowest = 0.0
        alike = dict(zip(layout.weights, layout.devices, strict=True))  # equal ones, once
        for weight, device in alike.items():
            share = self._share_of(start, end, layout, weight)
            if share is None:
                return None
            slowest = max(slowest, self._ms(share.macs, device) + byte_price * share.weights)
        return slowest

    def _share_of(
        self, start: Boundary, end: Boundary, layout: _Layout, weight: float
    ) -> Share | None:
        share: Share | None = self._share(
            start, end, layout.kind, round(weight / sum(layout.weights), 4)
        )
        return share

    def _move_ms(
        self, start: Boundary, end: Boundary | None, lies: _Layout, next_: _Layout
    ) -> float:
        """Time to bring a boundary's tensors from where they lie to where they are read.

        ``end`` None: all of them are read.
        """
        nodes = [self._graph.nodes[node] for node in start]
        size = sum(prod(node.shape) * ITEM_SIZE[node.dtype] for node in nodes)
        held = {
            self._number(device): weight / sum(lies.weights)
            for device, weight in zip(lies.devices, lies.weights, strict=True)
        }
        # A strip lies where the same device's next strip is read, and only halos move, half as
        # much to the first and the last; else what is read is at hand in part and by chance.
        halos = lies.kind == next_.kind == "rows"
        arriving = 0.0
        largest = 0.0
        for position, device in enumerate(next_.devices):
            weight = next_.weights[position]
            share = self._share_of(start, end, next_, weight) if end is not None else None
            read = size if share is None else share.read
            own = held.get(self._number(device), 0.0)
            nbytes = max(read - own * size, 0.0) if halos else read * (1.0 - own)
            if halos and position in (0, len(next_.devices) - 1):
                nbytes /= 2
            arriving += nbytes
            largest = max(largest, nbytes)
        if not arriving:
            return 0.0
        network = self._cluster.network
        if network.medium == "switched":
            arriving = max(largest, arriving * max(held.values()))  # the busiest port
        return network.latency_ms + network.air_ms(round(arriving))

    def _number(self, device: Device) -> int:
        return self._cluster.gateway_number if device == GATEWAY else device


def _worth_trying(layout: _Layout, layers: int, start: Boundary, end: Boundary) -> bool:
    """Whether a segment of so many layers may be the best in a layout.

    On one device segments of one layer add up to longer ones; behind a range of channels the
    next layer would need all of them.
    """
    if layout.kind != "rows":
        return layers == 1
    return layers <= FUSE_DEPTH or len(start) == len(end) == 1


def _trail(state: _State | None) -> Iterator[Segment]:
    while state is not None and state.segment is not None:
        yield state.segment
        state = state.before
