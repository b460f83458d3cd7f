"""Branches as a plan: who reads what, and that it computes what the branches' module does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.plan.plan import GATEWAY
from lcp_tvm.quantise import quantise
from lcp_tvm.relay_passes.lcp_branches import Merge, split_lcp_network
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_lcp import branch_ends, split_lcp
from tests.frontend.models import save
from tests.quantise.float_builder import Floats, network, pictures, small_residual
from tests.relay_passes.split_reference import assert_same_function

MODULE = Floats(1, 3, 8, 8).build(small_residual)
merges = pytest.mark.parametrize("merge", ["concat", "sum"])


def test_each_branch_has_a_device_and_the_gateway_the_head() -> None:
    split = split_lcp(read_graph(split_lcp_network(MODULE, 3).module), "net")
    found = [
        (task.name, task.device, [r.tensor for r in task.reads], [r.tensor for r in task.writes])
        for task in split.plan.tasks
    ]
    assert found == [
        ("branch_0", 0, ["x"], ["b0_wide_out"]),
        ("branch_1", 1, ["x"], ["b1_wide_out"]),
        ("branch_2", 2, ["x"], ["b2_wide_out"]),
        ("head", GATEWAY, ["b0_wide_out", "b1_wide_out", "b2_wide_out"], ["lv"]),
    ]
    assert (split.plan.split, split.plan.devices) == ("lcp:3", 3)


@merges
@settings(max_examples=10)
@given(branches=st.integers(1, 6), fatten=st.sampled_from([0, 40]), seed=st.integers(0, 99))
def test_the_plan_computes_what_the_branches_do(
    merge: Merge, branches: int, fatten: float, seed: int
) -> None:
    module = split_lcp_network(
        MODULE, branches, fatten=fatten if branches > 1 else 0, merge=merge
    ).module
    assert_same_function(split_lcp(read_graph(module), "net"), module, seed)


@merges
def test_quantised_branches_send_int8(merge: Merge) -> None:
    split = split_lcp_network(MODULE, 3, merge=merge)
    integer = lower_qdq(quantise(network(split.module), pictures(8, 3, 8, 8)).module)
    graph = read_graph(integer)
    assert [(graph.nodes[end].name, graph.nodes[end].dtype) for end in branch_ends(graph)] == [
        (f"b{branch}_wide_out_q", "int8") for branch in range(3)
    ]
    assert_same_function(split_lcp(graph, "net"), integer)


def test_branches_are_found_again_in_an_onnx_file(tmp_path: Path) -> None:
    """The split architecture is one file; trained elsewhere, it comes back with its names."""
    split = split_lcp_network(MODULE, 2)
    module = load_onnx(save(to_onnx(split.module), tmp_path)).module
    plan = split_lcp(read_graph(module), "net").plan
    assert [task.name for task in plan.tasks] == ["branch_0", "branch_1", "head"]
    assert tuple(plan.tasks[branch].writes[0].tensor for branch in (0, 1)) == split.outputs
    assert_same_function(split_lcp(read_graph(module), "net"), split.module)


def test_branches_divide_the_weights() -> None:
    """A device holds no more than 1/n of the network (LCP, Table 1), but for the first layer."""
    (whole, split) = (
        split_lcp(read_graph(split_lcp_network(MODULE, branches).module), "net").plan
        for branches in (1, 4)
    )
    weights = [split.functions[f"branch_{branch}"].cost.weight_bytes for branch in range(4)]
    assert len(set(weights)) == 1
    assert weights[0] < whole.functions["branch_0"].cost.weight_bytes / 3.9


def test_a_network_without_branches_is_refused() -> None:
    with pytest.raises(PlanError, match="the network has no branches"):
        split_lcp(read_graph(MODULE), "net")


def test_branches_that_read_each_other_are_refused() -> None:
    def body(f: Floats) -> object:
        first = f.conv(f.x, 4, 3, "b0_conv")
        return f.conv(f.conv(first, 4, 3, "b1_conv"), 4, 3, "last")

    with pytest.raises(PlanError, match="b1_conv: a branch reads b0_conv_sum of another"):
        split_lcp(read_graph(Floats(1, 3, 8, 8).build(body)), "net")


def test_a_branch_gives_one_tensor() -> None:
    def body(f: Floats) -> object:
        first = f.conv(f.x, 4, 3, "b0_conv")
        other = f.conv(f.relu(first, "b0_relu"), 4, 3, "other")
        return R.add(f.conv(first, 4, 3, "last"), other)

    with pytest.raises(PlanError, match="more than one tensor"):
        split_lcp(read_graph(Floats(1, 3, 8, 8).build(body)), "net")
