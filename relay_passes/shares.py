"""What shares of segments take: one walk back from an end answers for every start.

What lies between an end and a start is computed alike whatever the start: an earlier one only
adds nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lcp_tvm.plan.box import Box, box_size, hull
from lcp_tvm.plan.plan import ITEM_SIZE
from lcp_tvm.relay_passes.boundaries import Boundary
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph
from lcp_tvm.relay_passes.slicing import macs, slice_operator


@dataclass(frozen=True, slots=True)
class Share:
    """What one device takes for its part of a segment: work, and bytes it reads and holds."""

    macs: int
    read: int
    weights: int


def middle(box: Box, axis: int, fraction: float) -> Box | None:
    """Return this fraction of a box, from the middle of an axis; None where that is nothing."""
    if len(box) <= axis:
        return None
    size = box[axis][1]
    length = round(size * fraction)
    begin = (size - length) // 2
    return (*box[:axis], (begin, begin + length), *box[axis + 1 :]) if length else None


def shares_of(
    graph: NetworkGraph,
    starts: Sequence[Boundary],
    end: Boundary,
    boxes: Sequence[Box | None],
) -> tuple[Share | None, ...]:
    """Return what computing parts of a boundary's tensors takes, from each of several starts.

    Parameters
    ----------
    starts : boundaries before the end, the nearest first.
    end : the boundary; of its tensors those are computed that are not alive at the start.
    boxes : the part of each tensor of the end; None where it cannot be split so.

    Returns
    -------
    shares : one a start; None where a tensor that cannot be split would be computed.
    """
    targets = dict(zip(end, boxes, strict=True))
    walk = _Walk(graph)
    at = max(end)
    shares: list[Share | None] = []
    for start in starts:
        for node in range(at, max(start), -1):
            if node in targets:
                box = targets[node]
                if box is None:
                    return (*shares, *[None] * (len(starts) - len(shares)))
                walk.want(node, box)
            walk.compute(node)
        at = min(at, max(start))
        # What is no boundary's tensor is computed anew by every layer that reads it.
        rest = walk if walk.wanted <= set(start) else walk.upto(start)
        shares.append(Share(rest.macs, rest.read_bytes(start), rest.weights))
    return tuple(shares)


class _Walk:
    """Goes back from targets, and counts what the nodes it passes take."""

    def __init__(self, graph: NetworkGraph) -> None:
        self._graph = graph
        self._demand: dict[int, Box] = {}
        self.macs = 0
        self.weights = 0

    @property
    def wanted(self) -> AbstractSet[int]:
        """Nodes that are needed and not computed."""
        return self._demand.keys()

    def want(self, node: int, box: Box) -> None:
        known = self._demand.get(node)
        self._demand[node] = box if known is None or known == box else hull((known, box))

    def compute(self, number: int) -> None:
        """Count a node, if it is needed, and want what it reads."""
        box = self._demand.pop(number, None)
        if box is None:
            return
        node = self._graph.nodes[number]
        slicing = slice_operator(self._graph, node, box)
        self.macs += macs(self._graph, node, slicing.box, slicing.operands)
        for operand, read in zip(node.operands, slicing.operands, strict=True):
            if read is None:
                continue
            if isinstance(operand, Constant):
                self.weights += box_size(read) * ITEM_SIZE[operand.dtype]
            else:
                self.want(operand, read)

    def upto(self, start: Boundary) -> _Walk:
        """Return a walk that has gone on to where a start's tensors are all that is needed."""
        walk = _Walk(self._graph)
        walk._demand = dict(self._demand)
        walk.macs, walk.weights = self.macs, self.weights
        while rest := walk.wanted - set(start):
            walk.compute(max(rest))
        return walk

    def read_bytes(self, start: Boundary) -> int:
        """Bytes of a start's tensors that are needed."""
        nodes = self._graph.nodes
        return sum(
            box_size(self._demand[node]) * ITEM_SIZE[nodes[node].dtype]
            for node in start
            if node in self._demand
        )
