"""Strips with halo exchange compute what the whole network computes."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_ftp import fusible_ends
from lcp_tvm.relay_passes.split_strips import split_strips
from lcp_tvm.relay_passes.split_whole import split_whole
from tests.relay_passes.plan_traffic import bytes_between, total_macs
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function


def plan_of(module: tvm.IRModule, devices: int, depth: int | None = None, **keys: Any) -> Plan:
    split = split_strips(read_graph(module), "net", devices, depth, **keys)
    assert_same_function(split, module)
    return split.plan


def rows(plan: Plan) -> list[tuple[Any, tuple[int, int], tuple[int, int]]]:
    """Of each task the device, the rows it writes and the rows it reads."""
    return [(t.device, t.writes[0].box[2], t.reads[0].box[2]) for t in plan.tasks]


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_any_strips_compute_the_same(integer: bool) -> None:
    @settings(max_examples=60)
    @given(networks(integer), st.data())
    def check(module: tvm.IRModule, data: st.DataObject) -> None:
        graph = read_graph(module)
        depths = [graph.layers_before(end) for end in fusible_ends(graph)]
        depth = data.draw(st.sampled_from([None, *depths]))
        devices = data.draw(st.integers(1, 6))
        each = st.lists(st.floats(0, 3), min_size=devices, max_size=devices).filter(any)
        plan_of(module, devices, depth, weights=data.draw(st.none() | each))

    check()


def test_a_strip_takes_its_halo_from_the_strips_beside_it() -> None:
    module = Net(3, 12, 6).build(lambda net, h: net.conv(net.conv(h, 4), 2, (5, 5), 1, (2,) * 4))
    plan = plan_of(module, 3)
    assert plan.split == "strips:3"
    assert rows(plan) == [
        (0, (0, 4), (0, 5)), (1, (4, 8), (3, 9)), (2, (8, 12), (7, 12)),
        (0, (0, 4), (0, 6)), (1, (4, 8), (2, 10)), (2, (8, 12), (6, 12)),
    ]  # fmt: skip
    row = 4 * 4 * 6
    assert bytes_between(plan) == {
        (0, 1): 2 * row, (1, 0): 2 * row, (1, 2): 2 * row, (2, 1): 2 * row,
    }  # fmt: skip


def test_nothing_is_computed_twice_and_every_strip_has_all_weights_of_its_layer() -> None:
    module = Net(3, 24, 16).build(lambda net, h: net.conv(net.residual(net.conv(h, 4)), 2))
    whole = split_whole(read_graph(module), "net").plan
    plan = plan_of(module, 5)
    assert total_macs(plan) == total_macs(whole)
    assert len({plan.functions[t.function].cost.weight_bytes for t in plan.tasks[:5]}) == 1


def test_strips_of_one_shape_share_a_function() -> None:
    module = Net(3, 24, 16).build(lambda net, h: net.conv(h, 4))
    assert len(plan_of(module, 6).functions) == 3  # top, inside, bottom


def test_what_comes_after_the_strips_runs_on_the_gateway() -> None:
    module = Net(3, 12, 6).build(lambda net, h: net.head(net.pool(net.conv(h, 4), 2, 2, 0)))
    plan = plan_of(module, 2)
    assert [(task.name, task.device) for task in plan.tasks] == [
        ("layer0_0", 0), ("layer0_1", 1), ("layer1_0", 0), ("layer1_1", 1), ("head", GATEWAY),
    ]  # fmt: skip
    shallow = plan_of(module, 2, 1)
    assert shallow.split == "strips:2@1"
    assert [task.name for task in shallow.tasks] == ["layer0_0", "layer0_1", "head"]


def test_a_depth_inside_a_residual_block_goes_to_its_end() -> None:
    module = Net(3, 16, 16).build(lambda net, h: net.head(net.residual(net.conv(h, 4))))
    assert plan_of(module, 2, 2).split == "strips:2@3"


def test_strips_are_as_high_as_the_weights_say() -> None:
    module = Net(3, 12, 6).build(lambda net, h: net.conv(h, 4))
    plan = plan_of(module, 4, weights=[1, 3, 0, 2])
    assert [(device, own) for device, own, _ in rows(plan)] == [
        (0, (0, 2)), (1, (2, 8)), (3, (8, 12)),
    ]  # fmt: skip


def test_a_map_with_fewer_rows_than_devices_leaves_devices_out() -> None:
    module = Net(3, 6, 6).build(lambda net, h: net.pool(net.conv(h, 4), 2, 2, 0))
    plan = plan_of(module, 5)
    assert [task.device for task in plan.tasks] == [0, 1, 2, 3, 4, 0, 1, 2]


def test_what_the_network_does_not_allow_is_refused() -> None:
    graph = read_graph(Net(3, 8, 8).build(lambda net, h: net.head(net.conv(h, 4))))
    with pytest.raises(PlanError, match=r"no fuse depth 9; possible are 1$"):
        split_strips(graph, "net", 2, 9)
    dense = read_graph(Net(3, 8, 8).build(lambda net, h: net.head(h)))
    with pytest.raises(PlanError, match="needs its whole input"):
        split_strips(dense, "net", 2)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_weights_are_one_a_device_and_not_all_nothing(weights: list[float]) -> None:
    graph = read_graph(Net(3, 8, 8).build(lambda net, h: net.conv(h, 4)))
    with pytest.raises(PlanError, match="2 devices want as many weights"):
        split_strips(graph, "net", 2, weights=weights)


def test_every_output_is_written_once() -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.conv(h, 4)
        return h, first, net.builder.emit(R.nn.softmax(net.conv(first, 2), axis=1))

    module = Net(3, 8, 8).build(body)
    assert [task.name for task in plan_of(module, 2, 1).tasks] == ["layer0_0", "layer0_1", "head"]
