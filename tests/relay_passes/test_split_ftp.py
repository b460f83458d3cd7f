"""Fused tiles compute what the whole network computes."""

from __future__ import annotations

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import Region
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_ftp import fusible_ends, split_ftp
from tests.relay_passes.spatial_networks import Net, networks
from tests.relay_passes.split_reference import assert_same_function

GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 5))


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("reuse", [False, True], ids=["alone", "reuse"])
def test_every_grid_and_depth_computes_the_same(integer: bool, reuse: bool) -> None:
    @settings(max_examples=60)
    @given(networks(integer), GRIDS, st.data())
    def check(module: tvm.IRModule, grid: tuple[int, int], data: st.DataObject) -> None:
        graph = read_graph(module)
        depths = [graph.layers_before(end) for end in fusible_ends(graph)]
        depth = data.draw(st.sampled_from([None, *depths]))
        assert_same_function(split_ftp(graph, "net", grid, depth, reuse=reuse), module)

    check()


def test_a_tile_reads_its_halo_and_keeps_the_padding_of_the_border() -> None:
    module = Net(3, 6, 6).build(lambda net, h: net.conv(h, 2))
    plan = split_ftp(read_graph(module), "net", (2, 2), 1).plan
    # DeepThings, figure 5: partitions (0, 1) and (1, 0)
    by_name = {task.name: task for task in plan.tasks}
    assert by_name["tile_0_1"].reads == (Region("image", ((0, 1), (0, 3), (0, 4), (2, 6))),)
    assert by_name["tile_1_0"].reads == (Region("image", ((0, 1), (0, 3), (2, 6), (0, 4))),)


def test_tiles_of_one_shape_share_a_function() -> None:
    module = Net(3, 40, 40).build(lambda net, h: net.conv(net.conv(h, 2), 2))
    plan = split_ftp(read_graph(module), "net", (5, 5), 2).plan
    assert len(plan.tasks) == 25
    assert len(plan.functions) == 9  # corners, edges, inside


def test_with_reuse_nothing_is_computed_twice_but_where_tiles_meet_at_corners() -> None:
    module = Net(3, 40, 40).build(lambda net, h: net.conv(net.conv(net.conv(h, 4), 4), 4))
    graph = read_graph(module)

    def macs(reuse: bool, grid: tuple[int, int]) -> int:
        plan = split_ftp(graph, "net", grid, 3, reuse=reuse).plan
        return sum(plan.functions[task.function].cost.macs for task in plan.tasks)

    assert macs(True, (1, 4)) == macs(False, (1, 1))
    assert macs(False, (1, 1)) < macs(True, (4, 4)) < macs(False, (4, 4))


def test_tiles_that_wait_come_last_and_can_do_without() -> None:
    """Of each kind the most work comes first: 40 rows are 13, 13 and 14."""
    module = Net(3, 40, 40).build(lambda net, h: net.conv(net.conv(h, 4), 4))
    plan = split_ftp(read_graph(module), "net", (3, 3), 2, reuse=True).plan
    assert [task.name for task in plan.tasks] == [
        "tile_2_2", "tile_0_2", "tile_2_0", "tile_1_1", "tile_0_0",
        "tile_1_2", "tile_2_1", "tile_0_1", "tile_1_0",
    ]  # fmt: skip
    for task in plan.tasks[:5]:
        assert task.fallback is None
        assert {region.tensor for region in task.reads} == {"image"}
    for task in plan.tasks[5:]:
        assert task.fallback is not None
        assert {region.tensor for region in task.fallback.reads} == {"image"}


def test_a_depth_inside_a_residual_block_goes_to_its_end() -> None:
    module = Net(3, 16, 16).build(lambda net, h: net.head(net.residual(net.conv(h, 4))))
    graph = read_graph(module)
    assert [graph.layers_before(end) for end in fusible_ends(graph)] == [1, 3]
    assert split_ftp(graph, "net", (2, 2), 2).plan.split == "ftp:2x2@3"


def test_a_depth_that_the_network_has_not_is_refused() -> None:
    module = Net(3, 16, 16).build(lambda net, h: net.head(net.conv(net.conv(h, 4), 4)))
    with pytest.raises(PlanError, match="no fuse depth 9; possible are 1, 2"):
        split_ftp(read_graph(module), "net", (2, 2), 9)


def test_a_map_smaller_than_the_grid_has_fewer_tiles() -> None:
    module = Net(3, 6, 6).build(lambda net, h: net.pool(net.conv(h, 4), 2, 2, 0))
    split = split_ftp(read_graph(module), "net", (5, 5), 2)
    assert len(split.plan.tasks) == 9
    assert_same_function(split, module)
