"""Segments that are each split their own way compute what the whole network computes."""

from __future__ import annotations

import itertools

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.plan import GATEWAY, Region
from lcp_tvm.relay_passes.boundaries import boundaries
from lcp_tvm.relay_passes.network_graph import NetworkGraph, read_graph
from lcp_tvm.relay_passes.split_segments import Segment, split_segments
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function

DEVICES = 4


@st.composite
def segmentations(draw: st.DrawFn, graph: NetworkGraph) -> list[Segment]:
    """Any fuse points, with any kind of split and devices of any speed between them."""
    marks = boundaries(graph)
    inner = draw(st.lists(st.sampled_from(range(1, len(marks))), max_size=4))
    chosen = sorted({0, *inner, len(marks) - 1})
    segments = []
    for first, last in itertools.pairwise(chosen):
        start, end = marks[first], marks[last]
        spatial = all(len(graph.nodes[node].shape) == 4 for node in end)
        kind = draw(st.sampled_from(["one", "channels", *(["rows"] if spatial else [])]))
        if kind == "one":
            device = draw(st.sampled_from([0, GATEWAY]))
            segments.append(Segment(start, end, "one", (device,)))
            continue
        count = draw(st.integers(1, DEVICES))
        weights = tuple(draw(st.floats(0.1, 3)) for _ in range(count))
        segments.append(Segment(start, end, kind, tuple(range(count)), weights))
    return segments


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_any_segments_compute_the_same(integer: bool) -> None:
    @settings(max_examples=60)
    @given(networks(integer), st.data())
    def check(module: tvm.IRModule, data: st.DataObject) -> None:
        graph = read_graph(module)
        segments = data.draw(segmentations(graph))
        assert_same_function(split_segments(graph, "net", "auto", segments, DEVICES), module)

    check()


def test_rows_are_as_many_as_the_weights_say_and_read_their_halo() -> None:
    module = Net(3, 12, 8).build(lambda net, h: net.conv(h, 2))
    graph = read_graph(module)
    rows = Segment(*boundaries(graph), "rows", (0, 1), (1.0, 2.0))
    plan = split_segments(graph, "net", "auto", [rows], 2).plan
    assert [task.writes[0].box[2] for task in plan.tasks] == [(0, 4), (4, 12)]
    assert [task.reads for task in plan.tasks] == [
        (Region("image", ((0, 1), (0, 3), (0, 5), (0, 8))),),
        (Region("image", ((0, 1), (0, 3), (3, 12), (0, 8))),),
    ]


def test_segments_that_follow_one_another_on_a_device_are_one_task() -> None:
    module = Net(3, 12, 8).build(lambda net, h: net.conv(net.conv(net.conv(h, 2), 2), 2))
    graph = read_graph(module)
    marks = boundaries(graph)
    devices = (0, 0, GATEWAY)
    segments = [
        Segment(start, end, "one", (device,))
        for start, end, device in zip(marks[:-1], marks[1:], devices, strict=True)
    ]
    plan = split_segments(graph, "net", "auto", segments, 1).plan
    assert [(task.name, task.device) for task in plan.tasks] == [
        ("s0_one", 0),
        ("s1_one", GATEWAY),
    ]
