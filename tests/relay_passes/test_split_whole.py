"""One task computes the whole network."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from hypothesis import given, settings

from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_whole import split_whole
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_the_function_is_the_network(integer: bool) -> None:
    @settings(max_examples=20)
    @given(networks(integer))
    def check(module: tvm.IRModule) -> None:
        graph = read_graph(module)
        split = split_whole(graph, "net")
        assert_same_function(split, module)
        (task,) = split.plan.tasks
        assert (task.device, split.plan.split) == (0, "none")
        (recipe,) = split.recipes.values()
        assert len(recipe.steps) == len(graph.nodes) - 1  # every operator once, nothing else

    check()


def test_replicas_take_turns_with_the_same_task() -> None:
    module = Net(3, 8, 8).build(lambda net, h: net.conv(h, 4))
    plan = split_whole(read_graph(module), "net", replicas=3).plan
    assert (plan.split, plan.replicas, plan.devices) == ("replicate:3", 3, 1)
    assert [task.device for task in plan.tasks] == [0]


def test_every_output_is_written_once_and_inputs_are_not() -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.conv(h, 4)
        return h, first, net.conv(first, 2), first

    module = Net(3, 8, 8).build(body)
    split = split_whole(read_graph(module), "net")
    assert [write.tensor for write in split.plan.tasks[0].writes] == ["lv2", "lv5"]
    assert_same_function(split, module)


def test_a_network_that_computes_nothing_has_no_task() -> None:
    module = Net(3, 8, 8).build(lambda net, h: h)
    split = split_whole(read_graph(module), "net")
    assert split.plan.tasks == ()
    assert_same_function(split, module)
