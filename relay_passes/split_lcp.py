"""A network of LCP branches as a plan: a device for each branch, the head at the gateway.

    input --whole--> branch i on device i --pre-final activations--> head

Which operators are whose is in their names (`lcp_branches`: ``b0_conv1``), which quantising keeps,
and so does a way through an ONNX file, as for training.
"""

from __future__ import annotations

import re

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import GATEWAY, ITEM_SIZE
from lcp_tvm.relay_passes.network_graph import NetworkGraph, Node
from lcp_tvm.relay_passes.piece import carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder, whole


def split_lcp(graph: NetworkGraph, name: str, text: str | None = None) -> Split:
    """Split a network of branches along them.

    Parameters
    ----------
    graph : of a module that `split_lcp_network` made, in float or, made of that, in integers.
    text : the split's text; None for "lcp:" and the number of branches.

    Raises
    ------
    PlanError
        The network has no branches, or they depend on each other.
    """
    ends = branch_ends(graph)
    builder = SplitBuilder(graph)
    for branch, end in enumerate(ends):
        piece = carve(graph, whole(graph, [end]), graph.inputs)
        label = f"branch_{branch}"
        builder.add(label, piece, function=label, device=branch)
    head = carve(graph, whole(graph, graph.outputs), set(ends))
    builder.add("head", head, function="head", device=GATEWAY)
    return builder.finish(name, text or f"lcp:{len(ends)}", devices=len(ends))


def branch_ends(graph: NetworkGraph) -> tuple[int, ...]:
    """Return the node that each branch gives to the head.

    Raises
    ------
    PlanError
        As `split_lcp`.
    """
    owners = [_branch_of(node) for node in graph.nodes]
    found: dict[int, list[int]] = {}
    for node, owner in zip(graph.nodes, owners, strict=True):
        for user in graph.users[node.index]:
            if owner is not None and owners[user] not in (None, owner):
                raise PlanError(f"{graph.nodes[user].name}: a branch reads {node.name} of another")
        if owner is not None and any(owners[user] is None for user in graph.users[node.index]):
            found.setdefault(owner, []).append(node.index)
    if sorted(found) != list(range(len(found))) or any(len(ends) > 1 for ends in found.values()):
        raise PlanError("lcp: branches are not numbered from 0, or give more than one tensor")
    if not found:
        raise PlanError(
            "lcp: the network has no branches; split_lcp_network makes them, and its operators "
            "keep the names b0_..., b1_..."
        )
    return tuple(_narrowest(graph, found[branch][0]) for branch in range(len(found)))


def _branch_of(node: Node) -> int | None:
    """Return the branch whose name a node has."""
    named = re.match(r"b(\d+)_", node.name)
    return int(named[1]) if named and node.op != "input" else None


def _narrowest(graph: NetworkGraph, end: int) -> int:
    """Return the node before the widening of a sum's operand: int8 travels, not int32."""
    node = graph.nodes[end]
    while node.op in ("astype", "left_shift"):
        operand = node.operands[0]
        assert isinstance(operand, int)
        before = graph.nodes[operand]
        if ITEM_SIZE[before.dtype] > ITEM_SIZE[node.dtype]:
            break
        node = before
    return node.index
