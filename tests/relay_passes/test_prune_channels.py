"""Networks with fewer channels: which go, what is left to compute, and that branches stay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import compile_network
from lcp_tvm.errors import PlanError
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.relay_passes.body import Body
from lcp_tvm.relay_passes.lcp_branches import Merge, split_lcp_network
from lcp_tvm.relay_passes.narrow import LAYERS, with_operands
from lcp_tvm.relay_passes.network_graph import Constant, Node, read_graph
from lcp_tvm.relay_passes.prune_channels import prune_channels
from lcp_tvm.relay_passes.split_lcp import branch_ends
from lcp_tvm.split_text import Lcp
from lcp_tvm.splitting import lcp_network
from lcp_tvm.targets import parse_targets
from tests.frontend.models import random_input, save
from tests.quantise.float_builder import Floats, pictures, small_residual
from tests.reference import evaluate
from tests.relay_passes.spatial_networks import (
    CLASSIFIER_LAYERS,
    ClassifierLayer,
    classifier,
)
from tests.tables.architectures import conv_net, mobilenet, resnet
from tests.tables.counting import count


def layers(module: tvm.IRModule) -> dict[str, Node]:
    nodes = read_graph(module).nodes
    return {node.name: node for node in nodes if node.op in LAYERS}


def weights(module: tvm.IRModule) -> dict[str, np.ndarray[Any, Any]]:
    return {
        name: node.operands[1].expr.value.numpy()  # type: ignore[union-attr]
        for name, node in layers(module).items()
    }


def groups(node: Node) -> int:
    return int(node.call.attrs.groups) if node.op == "nn.conv2d" else 1


def sequential(f: Floats) -> Any:
    h = f.relu(f.conv(f.relu(f.conv(f.x, 8, 3, "first")), 12, 3, "second"), "features")
    flat = f.emit(R.reshape(h, (1, 768)))
    return f.emit(R.matmul(flat, relax.const(f.normal(768, 5))), "scores")


def silenced(module: tvm.IRModule, kept: Mapping[str, Any]) -> tvm.IRModule:
    """``module`` with zeros in the channels of layers, biases added, that are not in ``kept``."""
    graph, body = read_graph(module), Body(module["main"])
    values: dict[int, Any] = dict(zip(graph.inputs, module["main"].params, strict=True))
    makers: dict[int, str] = {}  # the layer whose channels a node has, up to its bias
    for node in graph.nodes[len(values) :]:
        operands = [o.expr if isinstance(o, Constant) else values[o] for o in node.operands]
        value = body.emit(with_operands(node, operands), node.name)
        if node.op in LAYERS:
            makers[node.index] = node.name
        elif node.op == "add" and isinstance(node.operands[1], Constant):
            makers[node.index] = makers[node.operands[0]]  # type: ignore[index]
        if node.index in makers:
            mask = np.zeros((1, node.shape[1], *[1] * (len(node.shape) - 2)), np.float32)
            mask[:, kept[makers[node.index]]] = 1
            value = body.emit(R.multiply(value, relax.const(mask)), f"{node.name}_silenced")
        values[node.index] = value
    return body.into(module, values[graph.outputs[0]])


@settings(max_examples=40)
@given(
    CLASSIFIER_LAYERS,
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["concat", "sum"]),
    st.floats(0, 0.95),
    st.integers(0, 99),
)
def test_a_pruned_network_computes_what_it_would_with_zeros_in_those_channels(
    drawn: list[ClassifierLayer],
    fork: bool,
    branches: int,
    merge: Merge,
    ratio: float,
    seed: int,
) -> None:
    module = split_lcp_network(classifier(drawn, fork, seed), branches, merge=merge).module
    pruned = prune_channels(module, ratio)
    x = random_input((1, 2, 6, 7), seed)
    wanted = evaluate(silenced(module, pruned.kept), x)
    atol = 1e-5 * max(1, np.abs(wanted).max())
    np.testing.assert_allclose(evaluate(pruned.module, x), wanted, rtol=0, atol=atol)

    before, after = read_graph(module), read_graph(pruned.module)
    assert [(n.name, n.op) for n in after.nodes] == [(n.name, n.op) for n in before.nodes]
    assert branch_ends(after) == branch_ends(before)
    for node in after.nodes:
        if node.name in pruned.kept:
            assert node.shape[1] == len(pruned.kept[node.name])


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.3, 0.45, 0.75, 0.99]),
    st.sampled_from([1, 4]),
)
def test_parameters_are_those_of_the_closed_form(
    widths: list[int], ratio: float, multiple: int
) -> None:
    module = conv_net([(width, 3, 1, 1) for width in widths], [7], (3, 8, 8))
    share = math.sqrt(1 - ratio)
    narrow = [
        min(width, multiple * max(1, int(width * share / multiple + 0.5))) for width in widths
    ]
    convolutions = sum(9 * i * o + o for i, o in zip([3, *narrow], narrow, strict=False))
    found = count(prune_channels(module, ratio, multiple=multiple).module).params
    assert found == convolutions + narrow[-1] * 64 * 7 + 7


@pytest.mark.parametrize("ratio", [0.4, 0.45, 0.5])
@pytest.mark.parametrize("branches", [1, 4])
def test_layers_between_two_others_lose_the_ratio_of_their_weights(
    ratio: float, branches: int
) -> None:
    """LCP, section 4.3: 40 to 50 % of every convolution."""
    module = split_lcp_network(resnet(18, size=32), branches).module
    before, after = weights(module), weights(prune_channels(module, ratio).module)
    inner = [name for name in before if before[name].shape[1] > 3 and before[name].shape[1] != 1000]
    assert len(inner) == 19 * branches
    for name in inner:
        assert 1 - after[name].size / before[name].size == pytest.approx(ratio, abs=0.04)


def test_depthwise_convolutions_follow_what_they_read() -> None:
    module = mobilenet(size=32)
    depthwise = [node for node in layers(module).values() if groups(node) > 1]
    pruned = layers(prune_channels(module, 0.45).module)
    assert len(depthwise) == 13
    for node in depthwise:
        assert pruned[node.name].shape[1] == pytest.approx(0.7416 * node.shape[1], abs=0.5)
        assert groups(pruned[node.name]) == pruned[node.name].shape[1]


def test_channels_that_carry_nothing_go_first() -> None:
    def body(f: Floats) -> Any:
        weight = f.normal(8, 3, 3, 3)
        weight[[1, 4]] = 0
        h = f.relu(f.emit(R.nn.conv2d(f.x, relax.const(weight), padding=1), "conv"), "relu")
        flat = f.emit(R.reshape(h, (1, 512)))
        return f.emit(R.matmul(flat, relax.const(f.normal(512, 5))), "scores")

    module = Floats(1, 3, 8, 8).build(body)
    pruned = prune_channels(module, 0.45)
    assert {name: list(pruned.kept[name]) for name in ("x", "conv", "relu", "scores")} == {
        "x": [0, 1, 2],
        "conv": [0, 2, 3, 5, 6, 7],
        "relu": [0, 2, 3, 5, 6, 7],
        "scores": [0, 1, 2, 3, 4],
    }
    x = random_input((1, 3, 8, 8))
    np.testing.assert_allclose(evaluate(pruned.module, x), evaluate(module, x), rtol=1e-5)


def test_nothing_changes_at_ratio_zero() -> None:
    module = split_lcp_network(Floats(1, 3, 8, 8).build(small_residual), 2).module
    tvm.ir.assert_structural_equal(prune_channels(module, 0).module, module)


def test_multiples_fill_the_blocks_of_vta() -> None:
    """A dimension of no more than a block stays: fewer of its channels would take as long."""
    module = conv_net([(12, 3, 1, 1), (40, 3, 1, 1), (96, 3, 1, 1)], [7], (3, 8, 8))
    pruned = prune_channels(module, 0.45, multiple=16)
    assert [len(pruned.kept[name]) for name in layers(module)] == [12, 32, 64, 7]


def test_the_gates_of_squeeze_and_excitation_lose_the_channels_they_scale() -> None:
    def body(f: Floats) -> Any:
        wide = f.conv(f.x, 8, 1, "wide")
        squeezed = f.conv(f.emit(R.mean(wide, [2, 3], keepdims=True)), 4, 1, "squeeze")
        gated = f.emit(R.multiply(wide, f.emit(R.sigmoid(f.conv(squeezed, 8, 1, "excite")))))
        flat = f.emit(R.reshape(f.emit(R.mean(gated, [2, 3], keepdims=True)), (1, 8)))
        return f.emit(R.matmul(flat, relax.const(f.normal(8, 5))))

    kept = prune_channels(Floats(1, 3, 8, 8).build(body), 0.45).kept
    np.testing.assert_array_equal(kept["wide"], kept["excite"])
    assert (len(kept["wide"]), len(kept["squeeze"])) == (6, 3)


def test_a_pruned_network_is_compiled_as_the_branches_it_has(tmp_path: Path) -> None:
    """Through an ONNX file, as after fine-tuning; on VTA with the bits of its integer network."""
    branches = split_lcp_network(Floats(1, 3, 8, 8).build(sequential), 2).module
    pruned = load_onnx(save(to_onnx(prune_channels(branches, 0.45).module), tmp_path))
    assert lcp_network(pruned, Lcp(2, 0)) is pruned
    x = pictures(4, 3, 8, 8)
    compiled = compile_network(pruned, parse_targets("vta"), x, split=Lcp(2, 0))
    assert [module.code.name for module in compiled.modules] == ["branch_0", "branch_1", "head"]
    (got,) = load_local(m.code for m in compiled.modules).run(compiled.plan, x[:1])
    np.testing.assert_array_equal(got, evaluate(compiled.integer, x[:1]))


@pytest.mark.parametrize("ratio", [-0.1, 1.0, math.nan])
def test_a_ratio_is_below_one(ratio: float) -> None:
    with pytest.raises(PlanError, match=r"a pruning ratio of .* allowed are 0 to below 1"):
        prune_channels(Floats(1, 3, 8, 8).build(small_residual), ratio)


def test_a_multiple_is_positive() -> None:
    with pytest.raises(PlanError, match="cannot be multiples of 0"):
        prune_channels(Floats(1, 3, 8, 8).build(small_residual), 0.45, multiple=0)


def test_a_network_without_a_classification_layer_is_refused() -> None:
    def body(f: Floats) -> Any:
        h = f.conv(f.x, 8, 3, "first")
        return R.add(f.conv(h, 8, 3, "last"), h)

    with pytest.raises(PlanError, match="last is the last layer with weights, and not all"):
        prune_channels(Floats(1, 3, 8, 8).build(body), 0.45)
