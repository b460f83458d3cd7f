"""Segments of layers, each split its own way over its own devices: what `auto` chooses from.

    input | layers 1..4, rows on devices 0, 1, 2 | 5..7 on device 1 | 8, channels on 0, 1 ..

Between segments only what the next one needs moves, straight from who has it to who needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lcp_tvm.plan.box import Range
from lcp_tvm.plan.plan import Device
from lcp_tvm.relay_passes.grid import weighted_ranges
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import Part, carve, trace
from lcp_tvm.relay_passes.split import Split, SplitBuilder

Kind = Literal["one", "rows", "channels"]
"""On one device; fused strips of rows; ranges of output channels, each from all of the input."""

_AXIS = {"rows": 2, "channels": 1}


@dataclass(frozen=True, slots=True)
class Segment:
    """Layers up to node ``end``, on devices in proportion to their weights."""

    end: int
    kind: Kind
    devices: tuple[Device, ...]
    weights: tuple[float, ...]


def split_segments(
    graph: NetworkGraph, name: str, text: str, segments: Sequence[Segment], devices: int
) -> Split:
    """Return the plan of some segments.

    Parameters
    ----------
    text : the split's text.
    segments : in order; the first begins at the input, the last ends at the output, and each end
        is a cut of the graph.
    devices : numbers that devices have.
    """
    builder = SplitBuilder(graph)
    sources: tuple[int, ...] = graph.inputs
    for number, segment in enumerate(segments):
        for device, part in zip(segment.devices, _parts(graph, segment), strict=True):
            if part is None:
                continue
            own = f"s{number}" if segment.kind == "one" else f"s{number}_d{device}"
            piece = carve(graph, [part], sources)
            builder.add(own, piece, function=f"s{number}_{segment.kind}", device=device)
        sources = (segment.end,)
    return builder.finish(name, text, devices)


def _parts(graph: NetworkGraph, segment: Segment) -> list[Part | None]:
    """Return what each device computes of the segment's end; None where its share is too small."""
    box = graph.nodes[segment.end].box
    if segment.kind == "one":
        return [Part(segment.end, box)]
    axis = _AXIS[segment.kind]
    return [
        Part(segment.end, (*box[:axis], side, *box[axis + 1 :])) if side[0] < side[1] else None
        for side in weighted_ranges(box[axis][1], segment.weights)
    ]


@dataclass(frozen=True, slots=True)
class Share:
    """What one device takes for its part of a segment: work, and bytes it reads and holds."""

    macs: int
    read: int
    weights: int


def share_of(
    graph: NetworkGraph, start: int, end: int, kind: Kind, fraction: float
) -> Share | None:
    """Return what a device in the middle takes that has this fraction of a segment.

    None where the segment cannot be split so finely.
    """
    box = graph.nodes[end].box
    if kind != "one":
        axis = _AXIS[kind]
        if len(box) <= axis:
            return None
        size = box[axis][1]
        length = round(size * fraction)
        if length < 1:
            return None
        begin = (size - length) // 2
        side: Range = (begin, begin + length)
        box = (*box[:axis], side, *box[axis + 1 :])
    traced = trace(graph, [Part(end, box)], {start})
    return Share(traced.macs(graph), traced.read_bytes(graph), traced.weight_bytes(graph))
