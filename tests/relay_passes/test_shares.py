"""What shares of segments take is what the pieces that compute them take."""

from __future__ import annotations

from typing import Literal

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.box import box_size
from lcp_tvm.plan.plan import ITEM_SIZE
from lcp_tvm.relay_passes.boundaries import boundaries
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, read_graph
from lcp_tvm.relay_passes.piece import Part, Trace, carve, trace
from lcp_tvm.relay_passes.recipe_cost import function_of
from lcp_tvm.relay_passes.shares import Share, middle, shares_of
from tests.relay_passes.spatial_networks import Net, networks


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("axis", [1, 2], ids=["channels", "rows"])
def test_one_walk_counts_what_a_trace_from_every_start_counts(
    axis: Literal[1, 2], integer: bool
) -> None:
    @settings(max_examples=40)
    @given(networks(integer), st.floats(0.1, 1.0), st.data())
    def check(module: tvm.IRModule, fraction: float, data: st.DataObject) -> None:
        graph = read_graph(module)
        marks = boundaries(graph)
        last = data.draw(st.integers(1, len(marks) - 1))
        boxes = [middle(graph.nodes[node].box, axis, fraction) for node in marks[last]]
        starts = marks[:last][::-1]
        shares = shares_of(graph, starts, marks[last], boxes)
        assert len(shares) == len(starts)
        for start, share in zip(starts, shares, strict=True):
            parts = {
                node: box for node, box in zip(marks[last], boxes, strict=True) if node not in start
            }
            if None in parts.values():
                assert share is None
                continue
            targets = [Part(node, box) for node, box in parts.items() if box is not None]
            traced = trace(graph, targets, start)
            assert share == Share(
                traced.macs(graph), _read_bytes(graph, traced), _weight_bytes(graph, traced)
            )

    check()


def _read_bytes(graph: NetworkGraph, traced: Trace) -> int:
    return sum(
        box_size(part.box) * ITEM_SIZE[graph.nodes[part.node].dtype] for part in traced.reads
    )


def _weight_bytes(graph: NetworkGraph, traced: Trace) -> int:
    return sum(
        box_size(box) * ITEM_SIZE[operand.dtype]
        for index, slicing in traced.computed
        for operand, box in zip(graph.nodes[index].operands, slicing.operands, strict=True)
        if isinstance(operand, Constant) and box is not None
    )


def _one_convolution() -> NetworkGraph:
    return read_graph(Net(3, 12, 8).build(lambda net, h: net.conv(h, 2)))


def test_a_share_counts_work_halo_and_weights() -> None:
    graph = _one_convolution()
    start, end = boundaries(graph)
    box = graph.nodes[end[0]].box

    def share(axis: int, fraction: float) -> Share | None:
        return shares_of(graph, [start], end, [middle(box, axis, fraction)])[0]

    whole, half, channel = share(2, 1.0), share(2, 0.5), share(1, 0.5)
    assert whole is not None
    assert half is not None
    assert channel is not None
    assert whole.macs == 2 * 12 * 8 * 27
    assert half.macs == whole.macs // 2
    assert half.read == 4 * 3 * (6 + 2) * 8
    assert channel.weights == whole.weights // 2
    assert share(1, 0.1) is None


def test_a_share_is_what_the_piece_that_computes_it_costs() -> None:
    graph = _one_convolution()
    start, end = boundaries(graph)
    box = middle(graph.nodes[end[0]].box, 2, 0.5)
    assert box is not None
    (share,) = shares_of(graph, [start], end, [box])
    piece = carve(graph, [Part(end[0], box)], start)
    cost = function_of(graph, piece.recipe).cost
    assert share == Share(cost.macs, 4 * box_size(piece.reads[0].box), cost.weight_bytes)


def test_what_has_no_such_axis_has_no_middle() -> None:
    assert middle(((0, 1), (0, 5)), 2, 0.5) is None
