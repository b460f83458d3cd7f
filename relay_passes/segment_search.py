"""Which segments: dynamic programming over fuse points and the kind of split of each segment.

A state is a boundary between layers and how the tensors alive there lie on the devices. Going
from one to a later one costs what must move first, and the slowest device's work on its share.
Devices that take no part in any segment are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import nsmallest
from math import prod

from lcp_tvm.plan.box import Box
from lcp_tvm.plan.plan import GATEWAY, ITEM_SIZE, Cost, Device, Function
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.relay_passes.boundaries import Boundary, boundaries
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.shares import Share, middle, shares_of
from lcp_tvm.relay_passes.split_segments import AXIS, Kind, Segment

FUSE_DEPTH = 6
"""Layers that are fused at most where a fuse point lies inside a residual block."""

BEAM = 8
"""States that are kept at each boundary."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How tensors lie: whole, or these fractions of them on these devices."""

    kind: Kind
    devices: tuple[Device, ...]
    fractions: tuple[float, ...]


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
        self._boxes = cache(self._boxes_of)
        self._shares = cache(self._shares_of)

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
            for layout in layouts:
                for first in range(number - 1, -1, -1):
                    start = self._boundaries[first]
                    if not _worth_trying(layout.kind, number - first, start, end):
                        continue
                    shares = self._shares_on(first, number, layout)
                    if shares is None:
                        continue
                    work = self._work_ms(shares, layout, byte_price)
                    read = [share.read for share in shares]
                    for state in states[first]:
                        ms = state.ms + work + self._move_ms(start, read, state.layout, layout)
                        if layout not in found or ms < found[layout].ms:
                            segment = Segment(
                                start, end, layout.kind, layout.devices, layout.fractions
                            )
                            found[layout] = _State(ms, layout, state, segment)
            states.append(nsmallest(BEAM, found.values(), key=lambda state: state.ms))
        home = _Layout("one", (GATEWAY,), (1.0,))
        outputs = self._boundaries[-1]
        read = [self._bytes(outputs)]
        last = min(
            states[-1],
            key=lambda state: state.ms + self._move_ms(outputs, read, state.layout, home),
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
            total = sum(speeds[device] for device in chosen)
            fractions = tuple(speeds[device] / total for device in chosen)
            yield _Layout("rows", chosen, fractions)
            yield _Layout("channels", chosen, fractions)

    def _ms(self, macs: int, device: Device) -> float:
        cost = Cost(macs=macs, integer_macs=macs if self._integer else 0)
        return call_ms(Function((), (), cost), self._cluster.machines[self._number(device)])

    def _shares_on(self, first: int, last: int, layout: _Layout) -> list[Share] | None:
        """What each device takes of the layers between two boundaries; None where not so split."""
        shares = []
        for fraction in layout.fractions:
            boxes = self._boxes(last, layout.kind, fraction)
            share = self._shares(last, layout.kind, boxes)[last - 1 - first]
            if share is None:
                return None
            shares.append(share)
        return shares

    def _boxes_of(self, last: int, kind: Kind, fraction: float) -> tuple[Box | None, ...]:
        """What a device in the middle has of a boundary's tensors."""
        boxes = [self._graph.nodes[node].box for node in self._boundaries[last]]
        if kind == "one":
            return tuple(boxes)
        return tuple(middle(box, AXIS[kind], fraction) for box in boxes)

    def _shares_of(
        self, last: int, kind: Kind, boxes: tuple[Box | None, ...]
    ) -> tuple[Share | None, ...]:
        """What these boxes of a boundary's tensors take from earlier ones, nearest first."""
        end = self._boundaries[last]
        starts = self._boundaries[:last][::-1]
        if kind != "rows":
            starts = starts[:1]
        elif len(end) > 1:
            starts = starts[:FUSE_DEPTH]
        return shares_of(self._graph, starts, end, boxes)

    def _work_ms(self, shares: Sequence[Share], layout: _Layout, byte_price: float) -> float:
        """Time of the slowest device."""
        return max(
            self._ms(share.macs, device) + byte_price * share.weights
            for share, device in zip(shares, layout.devices, strict=True)
        )

    def _bytes(self, boundary: Boundary) -> int:
        nodes = [self._graph.nodes[node] for node in boundary]
        return sum(prod(node.shape) * ITEM_SIZE[node.dtype] for node in nodes)

    def _move_ms(
        self, start: Boundary, read: Sequence[int], lies: _Layout, next_: _Layout
    ) -> float:
        """Time to bring a boundary's tensors from where they lie to where they are read.

        ``read``: bytes that each of the next devices reads.
        """
        size = self._bytes(start)
        held = {
            self._number(device): fraction
            for device, fraction in zip(lies.devices, lies.fractions, strict=True)
        }
        # A strip lies where the same device's next strip is read, and only halos move, half as
        # much to the first and the last; else what is read is at hand in part and by chance.
        halos = lies.kind == next_.kind == "rows"
        arriving = 0.0
        largest = 0.0
        for position, (device, wanted) in enumerate(zip(next_.devices, read, strict=True)):
            own = held.get(self._number(device), 0.0)
            nbytes = max(wanted - own * size, 0.0) if halos else wanted * (1.0 - own)
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


def _worth_trying(kind: Kind, layers: int, start: Boundary, end: Boundary) -> bool:
    """Whether a segment of so many layers may be the best of its kind.

    On one device segments of one layer add up to longer ones; behind a range of channels the
    next layer would need all of them.
    """
    if kind != "rows":
        return layers == 1
    return layers <= FUSE_DEPTH or len(start) == len(end) == 1


def _trail(state: _State | None) -> Iterator[Segment]:
    while state is not None and state.segment is not None:
        yield state.segment
        state = state.before
