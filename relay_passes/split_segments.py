"""Segments of layers, each split its own way over its own devices: what `auto` chooses from.

    input | layers 1..4, rows on devices 0, 1, 2 | 5..7 on device 1 | 8, channels on 0, 1 ..

Between segments only what the next one needs moves, straight from who has it to who needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lcp_tvm.plan.plan import Device
from lcp_tvm.relay_passes.boundaries import Boundary
from lcp_tvm.relay_passes.grid import weighted_ranges
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import Part, carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder

Kind = Literal["one", "rows", "channels"]
"""On one device; fused strips of rows; ranges of output channels, each from all of the input."""

AXIS: Mapping[Kind, int] = {"rows": 2, "channels": 1}
"""The axis that a kind of split cuts."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Layers between two boundaries, on devices in proportion to their weights."""

    start: Boundary
    end: Boundary
    kind: Kind
    devices: tuple[Device, ...]
    weights: tuple[float, ...] = (1.0,)


def split_segments(
    graph: NetworkGraph, name: str, text: str, segments: Sequence[Segment], devices: int
) -> Split:
    """Return the plan of some segments.

    Parameters
    ----------
    text : the split's text.
    segments : in order, from the first boundary to the last.
    devices : numbers that devices have.
    """
    builder = SplitBuilder(graph)
    for number, segment in enumerate(merged(segments)):
        for position, device in enumerate(segment.devices):
            targets = _targets(graph, segment, position)
            if targets:
                label = f"s{number}_{segment.kind}"
                own = label if segment.kind == "one" else f"{label}_{device}"
                builder.add(
                    own, carve(graph, targets, segment.start), function=label, device=device
                )
    return builder.finish(name, text, devices)


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """Join segments that follow one another on one device."""
    joined: list[Segment] = []
    for segment in segments:
        before = joined[-1] if joined else None
        if before and before.kind == segment.kind == "one" and before.devices == segment.devices:
            joined[-1] = Segment(before.start, segment.end, "one", segment.devices)
        else:
            joined.append(segment)
    return joined


def _targets(graph: NetworkGraph, segment: Segment, position: int) -> list[Part]:
    """Return what one of the devices computes of what the segment makes."""
    targets = []
    for node in segment.end:
        box = graph.nodes[node].box
        if node in segment.start:
            continue
        if segment.kind == "one":
            targets.append(Part(node, box))
            continue
        axis = AXIS[segment.kind]
        side = weighted_ranges(box[axis][1], segment.weights)[position]
        if side[0] < side[1]:
            targets.append(Part(node, (*box[:axis], side, *box[axis + 1 :])))
    return targets
