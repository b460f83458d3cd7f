"""Remove the least important channels of a network, or of every branch of an LCP network.

    conv1 8 -> conv2 16 -> fc 10                 =>  conv1 6 -> conv2 12 -> fc 10
    b0_conv1 4 -> b0_conv2 8 --+                     b0_conv1 3 -> b0_conv2 6 --+
    b1_conv1 4 -> b1_conv2 8 --concat 16 -> fc 10    b1_conv1 3 -> b1_conv2 6 --concat 12 -> fc 10

Structured pruning of LCP, section 4.3. No layer of one branch has channels of another, so branches
are pruned one by one, and what stays has the names it had: it is an LCP network still. The network
computes what it would with zeros in the removed channels, and is meant to be fine-tuned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.body import Body
from lcp_tvm.relay_passes.channel_groups import Group, read_channels
from lcp_tvm.relay_passes.lcp_channels import Indices, kept_channels, rank_units
from lcp_tvm.relay_passes.narrow import classification_layer, narrow, with_operands
from lcp_tvm.relay_passes.network_graph import Constant, read_graph


@dataclass(frozen=True, slots=True)
class Pruned:
    """A network with fewer channels.

    Attributes
    ----------
    module : one ``main``; all variables have the names they had.
    kept : per variable of the network up to its last layer, which of its channels stayed,
        ascending.
    """

    module: tvm.IRModule
    kept: Mapping[str, Indices]


def prune_channels(module: tvm.IRModule, ratio: float, *, multiple: int = 1) -> Pruned:
    """Return ``module`` with fewer channels in every layer but the last.

    Parameters
    ----------
    module : a classifier in float Relax after `clean_up`, its weights constants; with LCP branches
        or without.
    ratio : how much fewer weights a layer between two others shall have, 0 to below 1. As it loses
        channels on both sides, ``sqrt(1 - ratio)`` of them stay. Layers that read the picture or
        give the classes, and depthwise convolutions, lose channels on one side only.
    multiple : widths become the nearest multiple of it. VTA computes blocks of 16 channels, and
        takes as long for 33 as for 48. Dimensions that are no wider than it stay as they are.

    Raises
    ------
    PlanError
        An operator has no narrower form, the network does not end in one classification layer, or
        the ratio is none.
    """
    if not 0 <= ratio < 1:
        raise PlanError(
            f"a pruning ratio of {ratio:g} is not possible; allowed are 0 to below 1, "
            f"for example 0.45"
        )
    if multiple < 1:
        raise PlanError(f"channels cannot be multiples of {multiple}; 1 or more is allowed")
    graph = read_graph(module)
    last = classification_layer(graph)
    nodes = graph.nodes[: last.index + 1]
    channels = read_channels(graph, nodes)
    classes = {part.group for part in channels.layouts[last.index]}
    units = [
        np.sort(order if number in classes else order[: _pruned_width(group, ratio, multiple)])
        for number, (group, order) in enumerate(
            zip(channels.groups, rank_units(graph, nodes, channels), strict=True)
        )
    ]
    kept = {
        index: kept_channels(channels, layout, units) for index, layout in channels.layouts.items()
    }

    body = Body(module["main"])
    values: dict[int, Any] = dict(zip(graph.inputs, module["main"].params, strict=True))
    for node in graph.nodes[len(values) :]:
        if node.index <= last.index:
            call = narrow(node, values, kept)
        else:
            call = with_operands(
                node, [o.expr if isinstance(o, Constant) else values[o] for o in node.operands]
            )
        values[node.index] = body.emit(call, node.name)
    return Pruned(
        body.into(module, values[graph.outputs[0]]),
        {node.name: kept[node.index] for node in nodes},
    )


def _pruned_width(group: Group, ratio: float, multiple: int) -> int:
    """Return how many units of a group stay."""
    if group.fixed:
        return group.width
    wanted = math.sqrt(1 - ratio) * group.width
    return min(group.width, max(1, int(wanted / multiple + 0.5)) * multiple)
