"""A pipeline: consecutive layers as stages, a device each, that work on different frames at once.

input --> stage 0 --cut--> stage 1 --cut--> .. --> output

The slowest stage sets the frame rate, so it is made as fast as can be; among stages as good, those
that send the fewest bytes are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import carve, trace
from lcp_tvm.relay_passes.split import (
    Split,
    SplitBuilder,
    computed_outputs,
    tensor_of,
    whole,
)


def split_pipeline(
    graph: NetworkGraph, name: str, devices: int, *, speeds: Sequence[float] | None = None
) -> Split:
    """Split the layers into at most as many stages as devices, in the order of the devices.

    Parameters
    ----------
    speeds : multiply-accumulates per unit of time, one a device; None for equal devices. A device
        that would not make the slowest stage faster has no stage.

    Raises
    ------
    PlanError
        The speeds are not one a device, or not above 0.
    """
    speeds = [1.0] * devices if speeds is None else speeds
    if len(speeds) != devices or not all(speed > 0 for speed in speeds):
        raise PlanError(
            f"pipeline: {devices} devices want as many speeds above 0; found {list(speeds)}"
        )
    outputs = computed_outputs(graph)
    last = max(outputs, default=0)
    cuts = [end for end in graph.layer_ends() if graph.layers_before(end) and end < last]
    borders = [graph.inputs, *((cut,) for cut in cuts), outputs]
    work = [
        trace(graph, whole(graph, to), since).macs(graph) if to else 0
        for since, to in pairwise(borders)
    ]
    sent = [tensor_of(graph, cut).nbytes for cut in cuts]
    builder = SplitBuilder(graph)
    for stage in balanced_stages(work, sent, speeds):
        sources = borders[stage.first]
        targets = [index for index in borders[stage.end] if index not in sources]
        if targets:
            piece = carve(graph, whole(graph, targets), sources)
            label = f"stage{stage.device}"
            builder.add(label, piece, function=label, device=stage.device)
    return builder.finish(name, f"pipeline:{devices}", devices)


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """Segments ``first`` to ``end``, end excluded, on a device."""

    device: int
    first: int
    end: int


def balanced_stages(
    work: Sequence[float], sent: Sequence[float], speeds: Sequence[float]
) -> tuple[Stage, ...]:
    """Return the stages of which the slowest is fastest and, of these, that send the least.

    Parameters
    ----------
    work : of each segment.
    sent : what crosses between a segment and the next.
    speeds : of the devices; a stage takes its segments' work divided by its device's.
    """
    count = len(work)
    done = [0, *accumulate(work)]
    crosses = [*sent, 0]

    slowest = [0.0, *[inf] * count]  # by the number of segments, over the devices so far
    for speed in speeds:
        slowest = [
            min(
                [slowest[end]]
                + [max(slowest[first], (done[end] - done[first]) / speed) for first in range(end)]
            )
            for end in range(count + 1)
        ]

    least: list[tuple[float, tuple[Stage, ...]] | None] = [(0, ()), *[None] * count]
    for device, speed in enumerate(speeds):
        found = list(least)
        for end in range(1, count + 1):
            for first in range(end):
                before = least[first]
                if before is None or (done[end] - done[first]) / speed > slowest[count]:
                    continue
                stages = (*before[1], Stage(device, first, end))
                found[end] = min(found[end] or (inf, ()), (before[0] + crosses[end - 1], stages))
        least = found
    best = least[count]
    assert best is not None
    return best[1]
