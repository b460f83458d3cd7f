"""Strips: every layer cut into rows, with rows exchanged between layers (MoDNN's BODP-MR).

input --rows + halo--> layer 1 --rows + halo--> layer 2 .. --rows--> head

The biased one-dimensional partition of MoDNN, which DeepThings compares itself with (sections II
and V). Unlike a fused tile, a strip computes nothing twice: before each layer it takes the rows
around its own from the strips beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Range
from lcp_tvm.plan.plan import GATEWAY
from lcp_tvm.relay_passes.grid import even_ranges, weighted_ranges
from lcp_tvm.relay_passes.layer_groups import layer_groups
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import Part, carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder, computed_outputs, whole
from lcp_tvm.relay_passes.split_ftp import end_at_depth, fusible_ends


def split_strips(
    graph: NetworkGraph,
    name: str,
    devices: int,
    depth: int | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Split:
    """Split each of the first layers into strips of rows; the gateway computes the rest.

    Parameters
    ----------
    depth : layers (convolutions and pools) to cut; where a residual block ends later, up to its
        end. None takes all that have rows.
    weights : one a device, for strips in proportion; None cuts as evenly as can be.

    Raises
    ------
    PlanError
        The network has no such depth, or the weights are not one a device.
    """
    if weights is not None and (
        len(weights) != devices or min(weights) < 0 or not 0 < sum(weights) < inf
    ):
        raise PlanError(
            f"strips: {devices} devices want as many weights, none below 0 and one above; "
            f"found {list(weights)}"
        )
    end = _last_end(graph) if depth is None else end_at_depth(graph, depth)
    builder = SplitBuilder(graph)
    sources = set(graph.inputs)
    for number, group in enumerate(layer_groups(graph)):
        if group.end > end:
            break
        box = graph.nodes[group.end].box
        for device, rows in _strips(box[2][1], devices, weights):
            piece = carve(graph, [Part(group.end, (*box[:2], rows, *box[3:]))], sources)
            label = f"layer{number}"
            builder.add(f"{label}_{device}", piece, function=label, device=device)
        sources.add(group.end)
    rest = [index for index in computed_outputs(graph) if index not in sources]
    if rest:
        piece = carve(graph, whole(graph, rest), sources)
        builder.add("head", piece, function="head", device=GATEWAY)
    text = f"strips:{devices}" + ("" if depth is None else f"@{graph.layers_before(end)}")
    return builder.finish(name, text, devices)


def _last_end(graph: NetworkGraph) -> int:
    ends = fusible_ends(graph)
    if not ends:
        raise PlanError(
            "strips: no layer ends in a map before an operator that needs its whole input"
        )
    return ends[-1]


def _strips(height: int, devices: int, weights: Sequence[float] | None) -> list[tuple[int, Range]]:
    """Return who computes which rows; a map with few rows leaves devices out."""
    if weights is None:
        return list(enumerate(even_ranges(height, devices)))
    return [
        (device, rows)
        for device, rows in enumerate(weighted_ranges(height, weights))
        if rows[0] < rows[1]
    ]
