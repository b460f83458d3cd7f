"""Model parallelism per layer computes what the whole network computes."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.relax import op as R

from lcp_tvm.plan.plan import Plan
from lcp_tvm.relay_passes.layer_groups import layer_groups
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_layers import Mode, split_layers
from lcp_tvm.relay_passes.split_whole import split_whole
from tests.relay_passes.plan_traffic import bytes_between, total_macs, total_weight_bytes
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function

MODES: tuple[Mode, ...] = get_args(Mode)
HEIGHT, WIDTH = 8, 6


def two_layers() -> tvm.IRModule:
    """Channels 3 -> 8 -> 8 on a map of 8 x 6."""
    return Net(3, HEIGHT, WIDTH).build(lambda net, h: net.conv(net.conv(h, 8), 8))


def plan_of(module: tvm.IRModule, devices: int, mode: Mode = "output") -> Plan:
    split = split_layers(read_graph(module), "net", devices, mode=mode)
    assert_same_function(split, module)
    return split.plan


def writes(plan: Plan, axis: int) -> list[tuple[str, Any, tuple[int, int]]]:
    """Task, device and what it writes along an axis."""
    return [(task.name, task.device, task.writes[0].box[axis]) for task in plan.tasks]


def reads(plan: Plan, axis: int) -> list[tuple[int, int]]:
    """What each task reads first, along an axis."""
    return [task.reads[0].box[axis] for task in plan.tasks]


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_devices_computes_the_same(mode: Mode, integer: bool) -> None:
    @settings(max_examples=40)
    @given(networks(integer), st.integers(1, 6))
    def check(module: tvm.IRModule, devices: int) -> None:
        plan_of(module, devices, mode)

    check()


def test_output_each_device_takes_channels_of_the_result_from_all_of_the_input() -> None:
    plan = plan_of(two_layers(), 3)
    assert plan.split == "layers:3"
    assert plan.devices == 3
    assert writes(plan, 1) == [
        ("layer0_0", 0, (0, 2)), ("layer0_1", 1, (2, 5)), ("layer0_2", 2, (5, 8)),
        ("layer1_0", 0, (0, 2)), ("layer1_1", 1, (2, 5)), ("layer1_2", 2, (5, 8)),
    ]  # fmt: skip
    assert reads(plan, 1) == [(0, 3)] * 3 + [(0, 8)] * 3


def test_input_each_device_takes_channels_of_the_input_and_the_first_adds_up() -> None:
    plan = plan_of(two_layers(), 2, "input")
    assert plan.split == "layers:2:input"
    assert writes(plan, 1) == [
        ("layer0_0", 0, (0, 8)), ("layer0_1", 1, (0, 8)), ("layer0_sum", 0, (0, 8)),
        ("layer1_0", 0, (0, 8)), ("layer1_1", 1, (0, 8)), ("layer1_sum", 0, (0, 8)),
    ]  # fmt: skip
    products = [task for task in plan.tasks if not task.name.endswith("sum")]
    assert [task.reads[0].box[1] for task in products] == [(0, 1), (1, 3), (0, 4), (4, 8)]
    (first, second) = [task for task in plan.tasks if task.name.endswith("sum")]
    assert [read.tensor for read in first.reads] == ["lv@0", "lv@1"]
    assert plan.functions[second.function].cost.macs == 0


def test_input_sums_that_cancel_are_as_exact_as_what_is_added() -> None:
    """This seed's only output is 0.00013, of three sums a thousand times as large."""

    def body(net: Net, h: Any) -> Any:
        return net.conv(net.conv(h, 4), 1, (5, 5), 1, (0, 0, 0, 0))

    plan_of(Net(3, 5, 5, seed=3205).build(body), 3, "input")


def test_spatial_each_device_takes_rows_and_reads_their_halo() -> None:
    plan = plan_of(two_layers(), 2, "spatial")
    assert plan.split == "layers:2:spatial"
    assert writes(plan, 2) == [
        ("layer0_0", 0, (0, 4)), ("layer0_1", 1, (4, 8)),
        ("layer1_0", 0, (0, 4)), ("layer1_1", 1, (4, 8)),
    ]  # fmt: skip
    assert reads(plan, 2) == [(0, 5), (3, 8), (0, 5), (3, 8)]


def test_bytes_exchanged_between_two_layers() -> None:
    """Output: everybody's channels to everybody. Input: partial sums. Spatial: one row each."""
    channel, row = 4 * HEIGHT * WIDTH, 4 * WIDTH * 8
    output = bytes_between(plan_of(two_layers(), 4))
    assert output == {(a, b): 2 * channel for a in range(4) for b in range(4) if a != b}
    given_to_first = bytes_between(plan_of(two_layers(), 2, "input"))
    assert given_to_first == {(1, 0): 2 * 8 * channel, (0, 1): 4 * channel}
    spatial = bytes_between(plan_of(two_layers(), 2, "spatial"))
    assert spatial == {(1, 0): row, (0, 1): row}


@pytest.mark.parametrize("mode", ["output", "input"])
@pytest.mark.parametrize("devices", [2, 3, 5])
def test_no_weight_lies_on_two_devices_and_no_work_is_done_twice(mode: Mode, devices: int) -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.residual(net.conv(h, 12))
        return net.head(net.pool(net.conv(h, 16, depthwise=True), 2, 2, 0))

    module = Net(3, 9, 9).build(body)
    whole = split_whole(read_graph(module), "net").plan
    plan = plan_of(module, devices, mode)
    assert total_weight_bytes(plan) == total_weight_bytes(whole)
    assert total_macs(plan) == total_macs(whole)


def test_the_addition_of_a_residual_block_belongs_to_its_last_convolution() -> None:
    module = Net(3, 8, 8, integer=True).build(lambda net, h: net.residual(net.conv(h, 4)))
    plan = plan_of(module, 2)
    assert [task.name for task in plan.tasks] == [
        "layer0_0", "layer0_1", "layer1_0", "layer1_1", "layer2_0", "layer2_1",
    ]  # fmt: skip
    assert {plan.tensors[write.tensor].dtype for t in plan.tasks[:4] for write in t.writes} == {
        "int8"
    }
    skip, data = plan.tasks[5].reads
    assert skip.box[1] == (2, 4)  # of the skip only the device's own channels
    assert data.box[1] == (0, 4)


def test_convolutions_that_are_added_up_are_one_group() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 4)
        weight = net.constant((6, 4, 1, 1))
        short = net.builder.emit(R.nn.conv2d(h, weight))
        return net.conv(net.conv(h, 6), 6, skip=short)

    module = Net(3, 8, 8).build(body)
    graph = read_graph(module)
    assert [len(group.anchors) for group in layer_groups(graph)] == [1, 1, 2]
    plan = plan_of(module, 3, "input")
    names = [task.name for task in plan.tasks if task.name.startswith("layer2")]
    assert names == ["layer2_0", "layer2_1", "layer2_2", "layer2_sum"]
    assert [len(task.writes) for task in plan.tasks][-4:] == [2, 2, 2, 1]


def test_a_concat_is_made_by_those_who_read_it() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.conv(net.concat(net.conv(h, 4), net.conv(h, 2)), 2)

    module = Net(3, 8, 8).build(body)
    plan = plan_of(module, 2)
    assert [task.writes[0].box[1] for task in plan.tasks] == [
        (0, 2), (2, 4), (0, 1), (1, 2), (0, 1), (1, 2),
    ]  # fmt: skip
    assert [read.box[1] for read in plan.tasks[-1].reads] == [(0, 4), (0, 2)]


def test_an_activation_that_reads_its_operand_twice_stays_in_its_group() -> None:
    def body(net: Net, h: Any) -> Any:
        emit = net.builder.emit
        h = emit(R.nn.conv2d(h, net.constant((4, 3, 3, 3)), padding=1))
        return net.conv(emit(R.multiply(h, emit(R.sigmoid(h)))), 2)

    graph = read_graph(Net(3, 8, 8).build(body))
    assert [graph.nodes[group.end].op for group in layer_groups(graph)] == ["multiply", "nn.relu"]


def test_flattened_features_are_cut_by_whole_channels() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.head(net.pool(net.conv(h, 5), 4, 4, 0), classes=7)

    module = Net(3, 8, 8).build(body)
    plan = plan_of(module, 3, "input")
    products = [task for task in plan.tasks if task.name.startswith("layer2_")][:3]
    assert [task.reads[0].box[1] for task in products] == [(0, 1), (1, 3), (3, 5)]
    weights = [plan.functions[task.function].cost.weight_bytes for task in products]
    assert weights == [4 * 7 * 4 * channels for channels in (1, 2, 2)]


def test_input_of_a_depthwise_layer_and_a_pool_goes_by_channels() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.pool(net.conv(net.conv(h, 4), 4, depthwise=True), 2, 2, 0)

    plan = plan_of(Net(3, 8, 8).build(body), 2, "input")
    assert writes(plan, 1)[3:] == [
        ("layer1_0", 0, (0, 2)), ("layer1_1", 1, (2, 4)),
        ("layer2_0", 0, (0, 2)), ("layer2_1", 1, (2, 4)),
    ]  # fmt: skip


def test_spatial_of_a_dense_layer_goes_by_features() -> None:
    module = Net(3, 8, 8).build(lambda net, h: net.head(net.conv(h, 4), classes=10))
    plan = plan_of(module, 2, "spatial")
    assert [task.writes[0].box[1] for task in plan.tasks[2:]] == [(0, 5), (5, 10)]


@pytest.mark.parametrize("mode", ["output", "spatial"])
def test_what_cannot_be_cut_runs_on_the_first_device(mode: Mode) -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.head(net.conv(h, 4), classes=1)
        return net.builder.emit(R.nn.softmax(h))

    plan = plan_of(Net(3, 8, 8).build(body), 3, mode)
    assert [(task.name, task.device) for task in plan.tasks[3:]] == [("layer1", 0), ("rest", 0)]


def test_a_grouped_convolution_is_cut_where_its_groups_end() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 6)
        weight = net.constant((8, 3, 3, 3))
        return net.builder.emit(R.nn.conv2d(h, weight, padding=1, groups=2))

    module = Net(3, 8, 8).build(body)
    graph = read_graph(module)
    whole = split_whole(graph, "net").plan
    for devices in (2, 4):
        plan = plan_of(module, devices)
        assert total_macs(plan) == total_macs(whole)
        assert total_weight_bytes(plan) == total_weight_bytes(whole)
    assert [read.box[1] for task in plan.tasks[4:] for read in task.reads] == [
        (0, 3), (0, 3), (3, 6), (3, 6),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_output_is_written_once(mode: Mode) -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.conv(h, 4)
        return h, first, net.conv(first, 2), first

    module = Net(3, 8, 8).build(body)
    split = split_layers(read_graph(module), "net", 2, mode=mode)
    assert_same_function(split, module)
    assert split.plan.outputs == ("image", "lv2", "lv5", "lv2")


def test_a_network_that_computes_nothing_has_no_tasks() -> None:
    module = Net(3, 8, 8).build(lambda net, h: h)
    split = split_layers(read_graph(module), "net", 2)
    assert split.plan.tasks == ()
    assert_same_function(split, module)
