"""Pipeline stages compute what the whole network computes, and none is slower than need be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import Plan
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_pipeline import Stage, balanced_stages, split_pipeline
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function


def plan_of(module: tvm.IRModule, devices: int, **keys: Any) -> Plan:
    split = split_pipeline(read_graph(module), "net", devices, **keys)
    assert_same_function(split, module)
    return split.plan


def chain(*channels: int, integer: bool = False) -> tvm.IRModule:
    """3x3 convolutions on a map of 8 x 8."""

    def body(net: Net, h: Any) -> Any:
        for count in channels:
            h = net.conv(h, count)
        return h

    return Net(4, 8, 8, integer).build(body)


def macs(plan: Plan) -> list[tuple[Any, int]]:
    """Of each stage the device and the multiply-accumulates, in those of one 4 -> 4 layer."""
    one = 8 * 8 * 9 * 4 * 4
    return [(t.device, plan.functions[t.function].cost.macs // one) for t in plan.tasks]


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_any_number_of_devices_computes_the_same(integer: bool) -> None:
    @settings(max_examples=60)
    @given(networks(integer), st.lists(st.floats(0.1, 3), min_size=1, max_size=6), st.booleans())
    def check(module: tvm.IRModule, speeds: list[float], equal: bool) -> None:
        plan_of(module, len(speeds), speeds=None if equal else speeds)

    check()


def test_equal_layers_make_equal_stages() -> None:
    plan = plan_of(chain(4, 4, 4, 4, 4, 4), 3)
    assert plan.split == "pipeline:3"
    assert [task.name for task in plan.tasks] == ["stage0", "stage1", "stage2"]
    assert macs(plan) == [(0, 2), (1, 2), (2, 2)]


def test_a_stage_reads_what_the_one_before_it_ends_with() -> None:
    plan = plan_of(chain(4, 4, 4, integer=True), 3)
    for before, after in zip(plan.tasks, plan.tasks[1:], strict=False):
        assert after.reads == before.writes
        (read,) = after.reads
        assert plan.tensors[read.tensor].dtype == "int8"


def test_a_heavy_layer_has_a_stage_of_its_own() -> None:
    # 4 -> 16 takes 4, 16 -> 16 takes 16, 16 -> 4 takes 4, 4 -> 4 takes 1
    assert macs(plan_of(chain(4, 16, 16, 4, 4), 3)) == [(0, 5), (1, 16), (2, 5)]


def test_among_stages_as_good_those_that_send_less_are_taken() -> None:
    # the last two layers could be cut too, but the middle one sets the pace
    assert macs(plan_of(chain(16, 16, 4, 4), 5)) == [(0, 4), (1, 16), (2, 5)]


def test_a_fast_device_has_more_layers_and_a_useless_one_none() -> None:
    layers = chain(4, 4, 4, 4, 4, 4)
    assert macs(plan_of(layers, 2, speeds=[1, 2])) == [(0, 2), (1, 4)]
    assert macs(plan_of(layers, 3, speeds=[3, 0.1, 3])) == [(0, 3), (2, 3)]


def test_fewer_layers_than_devices_make_fewer_stages() -> None:
    plan = plan_of(chain(4, 4), 6)
    assert len(plan.tasks) == 2
    assert plan.devices == 6


def test_a_residual_block_lies_on_one_device() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.head(net.residual(net.residual(net.conv(h, 4))))

    plan = plan_of(Net(3, 8, 8, integer=True).build(body), 6)
    block = 2 * 8 * 8 * 9 * 4 * 4
    found = [plan.functions[task.function].cost.macs for task in plan.tasks]
    assert found == [8 * 8 * 9 * 3 * 4, block, block, 8 * 8 * 4 * 5]


def test_an_output_in_the_middle_is_written_once() -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.conv(h, 4)
        return h, first, net.conv(first, 4)

    plan = plan_of(Net(4, 8, 8).build(body), 2)
    assert macs(plan) == [(0, 1), (1, 1)]


@pytest.mark.parametrize("speeds", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_speeds_are_one_a_device_and_above_0(speeds: list[float]) -> None:
    with pytest.raises(PlanError, match="2 devices want as many speeds above 0"):
        split_pipeline(read_graph(chain(4)), "net", 2, speeds=speeds)


def every_way(count: int, devices: int) -> list[tuple[Stage, ...]]:
    """All ways to lay so many segments on devices, in their order."""
    found = []
    for stages in range(1, min(count, devices) + 1):
        for inner in combinations(range(1, count), stages - 1):
            ends = [0, *inner, count]
            for chosen in combinations(range(devices), stages):
                found.append(
                    tuple(Stage(d, a, b) for d, a, b in zip(chosen, ends, ends[1:], strict=False))
                )
    return found


@given(st.data())
def test_stages_are_the_best_of_all_ways(data: st.DataObject) -> None:
    work = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    sent = [data.draw(st.integers(1, 9)) for _ in work[1:]]
    speeds = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def cost(stages: Sequence[Stage]) -> tuple[float, int]:
        slowest = max(sum(work[s.first : s.end]) / speeds[s.device] for s in stages)
        return slowest, sum(sent[s.end - 1] for s in stages[:-1])

    found = balanced_stages(work, sent, speeds)
    assert found in every_way(len(work), len(speeds))
    assert cost(found) == min(cost(stages) for stages in every_way(len(work), len(speeds)))
