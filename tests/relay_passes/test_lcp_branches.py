"""A network as narrow branches: its form, its weights, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.quantise import quantise
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.network_graph import read_graph
from tests.frontend.models import random_input
from tests.frontend.models import run as run_onnx
from tests.quantise.float_builder import Floats, network, pictures, small_residual
from tests.reference import evaluate, evaluate_all
from tests.relay_passes.spatial_networks import (
    CLASSIFIER_LAYERS,
    ClassifierLayer,
    classifier,
)
from tests.tables.architectures import conv_net, mobilenet, resnet
from tests.tables.counting import count

Body = Callable[[Floats], Any]


def constant(module: tvm.IRModule, name: str) -> np.ndarray[Any, Any]:
    """The weights of the layer called ``name``."""
    (node,) = (node for node in read_graph(module).nodes if node.name == name)
    return np.asarray(node.operands[1].expr.value.numpy())  # type: ignore[union-attr]


def shapes(module: tvm.IRModule) -> dict[str, tuple[int, ...]]:
    return {node.name: node.shape for node in read_graph(module).nodes}


def sequential(f: Floats) -> Any:
    h = f.relu(f.conv(f.x, 8, 3, "conv"), "relu")
    h = f.emit(R.nn.max_pool2d(h, [2, 2], [2, 2]), "pool")
    h = f.emit(R.reshape(h, (1, 128)), "flat")
    h = f.relu(f.emit(R.matmul(h, relax.const(f.normal(128, 12))), "fc"), "wide")
    return f.emit(R.matmul(h, relax.const(f.normal(12, 5))), "scores")


def test_a_sequential_network_becomes_branches_with_a_last_layer() -> None:
    """Each branch has its own dense layers but the last (LCP, Table 2: LeNet-split2 has 3)."""
    split = split_lcp_network(Floats(1, 3, 8, 8).build(sequential), 2)
    assert shapes(split.module) == {
        "x": (1, 3, 8, 8),
        "b0_conv": (1, 4, 8, 8),
        "b0_conv_sum": (1, 4, 8, 8),
        "b0_relu": (1, 4, 8, 8),
        "b0_pool": (1, 4, 4, 4),
        "b0_flat": (1, 64),
        "b0_fc": (1, 6),
        "b0_wide": (1, 6),
        "b1_conv": (1, 4, 8, 8),
        "b1_conv_sum": (1, 4, 8, 8),
        "b1_relu": (1, 4, 8, 8),
        "b1_pool": (1, 4, 4, 4),
        "b1_flat": (1, 64),
        "b1_fc": (1, 6),
        "b1_wide": (1, 6),
        "merged": (1, 12),
        "scores": (1, 5),
    }
    assert split.outputs == ("b0_wide", "b1_wide")
    assert split.widths == {"conv": (8, 4), "fc": (12, 6)}


def test_a_branch_says_which_channels_of_the_original_its_result_stands_for() -> None:
    module = Floats(1, 3, 8, 8).build(sequential)
    split = split_lcp_network(module, 3, fatten=50)
    assert split.origin == "wide"
    assert [len(channels) for channels in split.kept] == [6, 6, 6]
    assert set().union(*split.kept) == set(range(12))
    times = np.bincount(np.concatenate(split.kept), minlength=12)
    kept = np.concatenate(split.kept)
    shares = constant(module, "scores") / times[:, None]
    np.testing.assert_array_equal(constant(split.module, "scores"), shares[kept].astype("float32"))


def test_added_branches_have_a_narrower_last_layer() -> None:
    split = split_lcp_network(Floats(1, 3, 8, 8).build(sequential), 4, merge="sum")
    assert shapes(split.module)["merged_3"] == (1, 3)
    assert constant(split.module, "scores").shape == (3, 5)


def test_pooling_over_whole_channels_comes_after_the_merge() -> None:
    """LCP, Table 2: ResNet-18-split2 has three pools, one in each branch and one after them."""
    split = split_lcp_network(Floats(1, 3, 8, 8).build(small_residual), 4)
    assert split.outputs == ("b0_wide_out", "b1_wide_out", "b2_wide_out", "b3_wide_out")
    assert shapes(split.module)["merged"] == (1, 16, 8, 8)
    assert shapes(split.module)["pooled"] == (1, 16, 1, 1)


def test_branches_hold_the_weights_of_their_channels() -> None:
    """The channels that a branch has of the first layer are those that its second one reads."""
    module = Floats(1, 3, 8, 8).build(sequential)
    split = split_lcp_network(module, 2)
    conv, dense, last = (constant(module, name) for name in ("conv", "fc", "scores"))
    seen_conv, seen_dense = [], []
    for branch in ("b0", "b1"):
        own = constant(split.module, f"{branch}_conv")
        channels = [int(np.where((conv == kernel).all(axis=(1, 2, 3)))[0][0]) for kernel in own]
        narrow = constant(split.module, f"{branch}_fc")  # [4 * 16, 6]
        rows = dense.reshape(8, 16, 12)[channels].reshape(64, 12)
        columns = [
            int(np.where((rows == column[:, None]).all(axis=0))[0][0]) for column in narrow.T
        ]
        seen_conv += channels
        seen_dense += columns
    assert sorted(seen_conv) == list(range(8))
    np.testing.assert_array_equal(constant(split.module, "scores"), last[seen_dense])


@pytest.mark.parametrize("body", [sequential, small_residual])
def test_one_branch_computes_exactly_what_the_network_does(body: Body) -> None:
    module = Floats(1, 3, 8, 8).build(body)
    x = random_input((1, 3, 8, 8))
    np.testing.assert_array_equal(
        evaluate(split_lcp_network(module, 1).module, x), evaluate(module, x)
    )


@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("body", [sequential, small_residual])
def test_branches_fattened_to_the_full_width_compute_what_the_network_does(
    body: Body, merge: Any
) -> None:
    """Every branch is then the network; in the last layer each channel counts once."""
    module = Floats(1, 3, 8, 8).build(body)
    split = split_lcp_network(module, 4, fatten=300, merge=merge)
    x = random_input((1, 3, 8, 8))
    np.testing.assert_allclose(evaluate(split.module, x), evaluate(module, x), rtol=1e-5)


def test_squeeze_and_excitation_and_slopes_are_cut_along() -> None:
    def body(f: Floats) -> Any:
        wide = f.conv(f.x, 8, 1, "wide")
        slope = relax.const(np.linspace(0, 1, 8, dtype=np.float32))
        wide = f.emit(R.nn.prelu(wide, slope, axis=1), "prelu")
        squeezed = f.conv(f.emit(R.mean(wide, [2, 3], keepdims=True)), 4, 1, "squeeze")
        gated = f.emit(R.multiply(wide, f.emit(R.sigmoid(f.conv(squeezed, 8, 1, "excite")))))
        flat = f.emit(R.reshape(f.emit(R.mean(gated, [2, 3], keepdims=True)), (1, 8)))
        return f.emit(R.matmul(flat, relax.const(f.normal(8, 5))))

    split = split_lcp_network(Floats(1, 3, 8, 8).build(body), 2)
    assert constant(split.module, "b0_prelu").shape == (4,)
    assert split.widths == {"wide": (8, 4), "squeeze": (4, 2), "excite": (8, 4)}


def test_local_response_normalisation_is_over_a_branchs_own_channels() -> None:
    """LCP, Table 2: CifarNet-split2 has 4 normalisations, so each branch has its own two."""

    def body(f: Floats) -> Any:
        h = f.conv(f.x, 8, 3, "conv")
        energy = f.emit(R.reshape(f.emit(R.multiply(h, h)), (1, 1, 8, 8, 8)))
        energy = f.emit(R.nn.avg_pool3d(energy, [5, 1, 1], padding=[2, 0, 0, 2, 0, 0]), "mean")
        h = f.emit(R.divide(h, f.emit(R.add(f.emit(R.reshape(energy, (1, 8, 8, 8))), one))))
        flat = f.emit(R.reshape(h, (1, 512)))
        return f.emit(R.matmul(flat, relax.const(f.normal(512, 5))))

    one = relax.const(np.float32(1))
    split = split_lcp_network(Floats(1, 3, 8, 8).build(body), 2)
    assert shapes(split.module)["b1_mean"] == (1, 1, 4, 8, 8)


def test_a_convolution_can_be_the_classification_layer() -> None:
    """SqueezeNet: pooling over whole channels comes after it."""

    def body(f: Floats) -> Any:
        h = f.relu(f.conv(f.x, 8, 3, "conv"), "relu")
        return f.emit(R.mean(f.relu(f.conv(h, 5, 1, "scores")), [2, 3], keepdims=True))

    split = split_lcp_network(Floats(1, 3, 8, 8).build(body), 4)
    assert split.outputs == ("b0_relu", "b1_relu", "b2_relu", "b3_relu")
    assert constant(split.module, "scores").shape == (5, 8, 1, 1)


def test_a_split_network_quantises() -> None:
    split = split_lcp_network(Floats(1, 3, 8, 8).build(small_residual), 2)
    x = pictures(8, 3, 8, 8)
    integer = lower_qdq(quantise(network(split.module), x).module)
    wanted, got = evaluate(split.module, x[:1]), evaluate(integer, x[:1])
    assert np.abs(got - wanted).max() < 0.05


@settings(max_examples=40)
@given(
    CLASSIFIER_LAYERS,
    st.booleans(),
    st.integers(1, 5),
    st.sampled_from([0, 40]),
    st.integers(0, 99),
)
def test_drawn_networks(
    layers: list[ClassifierLayer], fork: bool, branches: int, fatten: float, seed: int
) -> None:
    """Widths as said, no edge between branches, and onnxruntime computes the same."""
    module = classifier(layers, fork, seed)
    fatten = fatten if branches > 1 else 0
    split = split_lcp_network(module, branches, fatten=fatten)
    for width, narrow in split.widths.values():
        assert narrow == min(width, int(max(1, width // branches) * (1 + fatten / 100) + 0.5))

    nodes = read_graph(split.module).nodes
    for node in nodes:
        if node.name.startswith("b"):
            reads = [nodes[o].name for o in node.operands if isinstance(o, int)]
            assert {name.split("_")[0] for name in reads} <= {node.name.split("_")[0], "image"}

    x = random_input((1, 2, 6, 7), seed)
    values = evaluate_all(split.module, x)  # compares every value with its declared type
    (got,) = run_onnx(to_onnx(split.module), x)
    wanted = values[split.module["main"].body.body.name]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(1, 8))
def test_parameters_are_those_of_the_closed_form(widths: list[int], branches: int) -> None:
    module = conv_net([(width, 3, 1, 1) for width in widths], [7], (3, 8, 8))
    split = split_lcp_network(module, branches)
    narrow = [max(1, width // branches) for width in widths]
    pairs = zip([3, *narrow], narrow, strict=False)
    convolutions = branches * sum(9 * i * o + o for i, o in pairs)
    dense = branches * narrow[-1] * 64 * 7 + 7
    assert count(split.module).params == convolutions + dense


@pytest.mark.parametrize("branches", [2, 8])
def test_residual_paths_keep_one_width(branches: int) -> None:
    split = split_lcp_network(resnet(18, size=32), branches)
    assert [name.split("_")[0] for name in split.outputs] == [f"b{i}" for i in range(branches)]
    assert shapes(split.module)["merged"] == (1, 512, 1, 1)
    assert {wide // narrow for wide, narrow in split.widths.values()} == {branches}


def test_bottlenecks_divide() -> None:
    split = split_lcp_network(resnet(50, size=32), 8)
    assert shapes(split.module)["merged"] == (1, 2048, 1, 1)
    assert {wide // narrow for wide, narrow in split.widths.values()} == {8}


def test_depthwise_convolutions_divide() -> None:
    split = split_lcp_network(mobilenet(size=32), 8)
    assert {wide // narrow for wide, narrow in split.widths.values()} == {8}
    weights = [node for node in read_graph(split.module).nodes if node.op == "nn.conv2d"]
    depthwise = [node for node in weights if node.call.attrs.groups > 1]
    assert len(depthwise) == 13 * 8
    assert all(node.operands[1].shape[1] == 1 for node in depthwise)  # type: ignore[union-attr]


def _two_results(f: Floats) -> Any:
    h = f.conv(f.x, 8, 3, "conv")
    return relax.Tuple([h, f.conv(h, 4, 1, "other")])


def _residual_end(f: Floats) -> Any:
    h = f.conv(f.x, 8, 3, "first")
    return R.add(f.conv(h, 8, 3, "last"), h)


def _one_layer(f: Floats) -> Any:
    flat = f.emit(R.reshape(f.x, (1, 192)))
    return f.emit(R.matmul(flat, relax.const(f.normal(192, 5))), "scores")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_two_results, "a Tuple cannot be split"),
        (_residual_end, "last is the last layer with weights, and not all results come from it"),
        (_one_layer, "scores is the only layer"),
        (lambda f: f.relu(f.x), "no layers with weights"),
    ],
)
def test_networks_without_a_classification_layer_are_refused(body: Body, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        split_lcp_network(Floats(1, 3, 8, 8).build(body), 2)


def test_groups_of_a_convolution_stay_whole() -> None:
    def body(f: Floats) -> Any:
        h = f.relu(f.conv(f.conv(f.x, 8, 3, "first"), 8, 3, "grouped", groups=2))
        return f.emit(R.mean(f.conv(h, 5, 1, "scores"), [2, 3], keepdims=True))

    module = Floats(1, 3, 8, 8).build(body)
    split = split_lcp_network(module, 2)
    assert constant(split.module, "b1_grouped").shape == (4, 4, 3, 3)
    with pytest.raises(PlanError, match=r"grouped: .* into 2 branches at most, not 4"):
        split_lcp_network(module, 4)


@pytest.mark.parametrize(("branches", "fatten"), [(0, 0), (1, 10), (2, 101), (4, -10)])
def test_branches_are_narrower_than_the_network(branches: int, fatten: float) -> None:
    with pytest.raises(PlanError, match=f"lcp:{branches}.*branches must be narrower"):
        split_lcp_network(Floats(1, 3, 8, 8).build(sequential), branches, fatten=fatten)
