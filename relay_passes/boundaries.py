"""What is alive between layers: the tensors that layers so far have made and later ones read."""

from __future__ import annotations

from collections.abc import Sequence

from lcp_tvm.relay_passes.layer_groups import layer_groups
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import trace
from lcp_tvm.relay_passes.split import computed_outputs, whole

Boundary = tuple[int, ...]
"""Nodes in order: a layer's result, and beside it a residual block's input."""


def boundaries(graph: NetworkGraph) -> tuple[Boundary, ...]:
    """Return the boundaries before the first layer, after each, and after the last one.

    The first is the inputs, the last the outputs; what follows the last layer lies before it.
    """
    ends = [group.end for group in layer_groups(graph)][:-1]
    makers = [*graph.inputs, *ends]
    needs = [_reads(graph, [end], makers) for end in ends]
    needs.append(_reads(graph, computed_outputs(graph), makers))
    found: list[Boundary] = []
    for number in range(len(needs)):
        made = {*graph.inputs, *ends[:number]}
        wanted = set().union(*needs[number:]).union(graph.outputs)
        found.append(tuple(sorted(made & wanted)))
    return (*found, tuple(sorted(computed_outputs(graph))))


def _reads(graph: NetworkGraph, targets: Sequence[int], makers: Sequence[int]) -> set[int]:
    """Return which of the makers before the targets are read to compute them."""
    sources = {maker for maker in makers if maker not in targets}
    return {part.node for part in trace(graph, whole(graph, targets), sources).reads}
