"""Model parallelism: every layer by itself cut over all devices (LCP, section 2 and Figure 3).

output   x -> all -> channels 0..8 on device 0 | 8..16 on device 1 -> all -> ..
input    channels 0..8 of x on device 0 | 8..16 on device 1 -> partial sums -> device 0 -> ..
spatial  rows 0..8 with halo on device 0 | 8..16 on device 1 -> ..

Share k lies on device k, so what a device made of one layer is there for the next. A layer of
which nothing can be cut runs on device 0, and so do operators after the last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from lcp_tvm.plan.plan import Region
from lcp_tvm.relay_passes.grid import even_ranges
from lcp_tvm.relay_passes.layer_groups import LayerGroup, layer_groups
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.partial_sums import (
    Partial,
    carve_partials,
    input_ranges,
    sum_arguments,
)
from lcp_tvm.relay_passes.piece import Part, Piece, carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder, computed_outputs, whole

Mode = Literal["output", "input", "spatial"]

AddLayer = Callable[[SplitBuilder, str, LayerGroup, int, Collection[int]], None]
"""Adds the tasks of a group of this name, over so many devices, from these sources."""


def split_layers(graph: NetworkGraph, name: str, devices: int, *, mode: Mode = "output") -> Split:
    """Split each layer over all devices.

    Parameters
    ----------
    mode : what of a layer each device takes: a range of its output channels, computed from all
        of its input; a range of its input channels, whose partial sums device 0 adds up, and
        output channels where a layer sums over none; or rows of the result, and output channels
        where a layer has no rows.
    """
    builder = SplitBuilder(graph)
    sources = set(graph.inputs)
    for number, group in enumerate(layer_groups(graph)):
        _ADD_LAYER[mode](builder, f"layer{number}", group, devices, sources)
        sources.add(group.end)
    rest = [index for index in computed_outputs(graph) if index not in sources]
    if rest:
        piece = carve(graph, whole(graph, rest), sources)
        builder.add("rest", piece, function="rest", device=0)
    text = f"layers:{devices}" + ("" if mode == "output" else f":{mode}")
    return builder.finish(name, text, devices)


def _by_outputs(
    builder: SplitBuilder, name: str, group: LayerGroup, devices: int, sources: Collection[int]
) -> None:
    _add_shares(builder, name, group, _cut(builder.graph, group.end, 1, devices), sources)


def _by_rows(
    builder: SplitBuilder, name: str, group: LayerGroup, devices: int, sources: Collection[int]
) -> None:
    shape = builder.graph.nodes[group.end].shape
    axis = 2 if len(shape) == 4 and shape[2] > 1 else 1
    _add_shares(builder, name, group, _cut(builder.graph, group.end, axis, devices), sources)


def _by_inputs(
    builder: SplitBuilder, name: str, group: LayerGroup, devices: int, sources: Collection[int]
) -> None:
    graph = builder.graph
    ranges = {anchor: input_ranges(graph, anchor, devices) for anchor in group.anchors}
    ranges = {anchor: sides for anchor, sides in ranges.items() if len(sides) > 1}
    if not ranges:
        _by_outputs(builder, name, group, devices, sources)
        return
    for device in range(max(map(len, ranges.values()))):
        own = [
            Partial(anchor, sides[device])
            for anchor, sides in ranges.items()
            if device < len(sides)
        ]
        piece = carve_partials(graph, own, sources)
        writes = [_summand(builder, part, device) for part in piece.writes]
        builder.add(f"{name}_{device}", piece, function=name, device=device, writes=writes)

    total = carve(graph, whole(graph, [group.end]), {*sources, *ranges})
    summands = [
        [_summand(builder, part, device) for device in range(len(ranges[part.node]))]
        if part.node in ranges
        else [builder.region(part)]
        for part in total.reads
    ]
    recipe = sum_arguments(total.recipe, [len(regions) for regions in summands])
    builder.add(
        f"{name}_sum",
        replace(total, recipe=recipe),
        function=f"{name}_sum",
        device=0,
        reads=[region for regions in summands for region in regions],
    )


_ADD_LAYER: Mapping[Mode, AddLayer] = {
    "output": _by_outputs,
    "input": _by_inputs,
    "spatial": _by_rows,
}


def _summand(builder: SplitBuilder, part: Part, device: int) -> Region:
    """Return the tensor of what a device adds to a layer's result."""
    return Region(f"{builder.graph.nodes[part.node].name}@{device}", part.box)


def _cut(graph: NetworkGraph, index: int, axis: int, parts: int) -> tuple[Part, ...]:
    """Cut a node's result along an axis; without that axis it stays whole."""
    box = graph.nodes[index].box
    if len(box) <= axis:
        return (Part(index, box),)
    return tuple(
        Part(index, (*box[:axis], side, *box[axis + 1 :]))
        for side in even_ranges(box[axis][1], parts)
    )


def _add_shares(
    builder: SplitBuilder,
    name: str,
    group: LayerGroup,
    shares: Sequence[Part],
    sources: Collection[int],
) -> None:
    """Add a task per share, or one for all of them where cutting saves nothing."""
    graph = builder.graph
    pieces = [carve(graph, [share], sources) for share in shares]
    if any(_has_whole_layer(graph, piece, group) for piece in pieces):
        pieces = [carve(graph, whole(graph, [group.end]), sources)]
    for device, piece in enumerate(pieces):
        own = f"{name}_{device}" if len(pieces) > 1 else name
        builder.add(own, piece, function=name, device=device)


def _has_whole_layer(graph: NetworkGraph, piece: Piece, group: LayerGroup) -> bool:
    """Whether a piece computes all of a layer, because its operator cannot be cut that way."""
    return any(
        part.node in group.anchors and part.box == graph.nodes[part.node].box
        for part in piece.computed
    )
