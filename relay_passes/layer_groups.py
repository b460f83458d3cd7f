"""Layers with what follows them: the units that model parallelism cuts one by one.

conv2d -> add(bias) -> add(skip) -> relu    one group; only relu's result leaves it

A group is one convolution, dense layer or pool, or several side by side that are added up, with
the elementwise operators after them, up to the last through which all of it passes. What lies
between groups (quantising the input, widening a skip, concat, flatten) costs next to nothing and
is computed by whoever needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.slicing import ELEMENTWISE


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers that do not depend on one another, and the one node that leaves the group."""

    end: int
    anchors: tuple[int, ...]


def layer_groups(graph: NetworkGraph) -> tuple[LayerGroup, ...]:
    """Return the groups in an order of computation: each reads ends of earlier ones alone."""
    anchors: dict[int, list[int]] = {}
    for node in graph.nodes:
        if node.is_anchor:
            anchors.setdefault(_end_of(graph, node.index), []).append(node.index)
    return tuple(LayerGroup(end, tuple(anchors[end])) for end in sorted(anchors))


def _end_of(graph: NetworkGraph, anchor: int) -> int:
    """Return the last elementwise node through which all that follows an anchor passes."""
    inside = {anchor}
    end = farthest = anchor
    for node in graph.nodes[anchor:]:
        if node.index not in inside:
            continue
        if farthest <= node.index:
            end = node.index
        users = [graph.nodes[user] for user in graph.users[node.index]]
        if node.index in graph.outputs or any(user.op not in ELEMENTWISE for user in users):
            break
        inside.update(user.index for user in users)
        farthest = max(farthest, *(user.index for user in users))
    return end
