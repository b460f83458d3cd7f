"""What becomes int8, what shares a scale, what stays in the accumulator."""

from __future__ import annotations

from typing import Any

from tvm import relax
from tvm.relax import op as R

from lcp_tvm.quantise.graph import Graph, read_graph, with_biases
from lcp_tvm.quantise.points import Points, find_points
from tests.quantise.float_builder import Floats, small_residual


def points_of(body: Any, *shape: int) -> tuple[Graph, Points]:
    graph = read_graph(with_biases(Floats(*shape).build(body)))
    return graph, find_points(graph)


def test_groups_of_a_residual_network() -> None:
    graph, points = points_of(small_residual, 1, 3, 8, 8)
    chosen = ("x", "stem_out", "deep_out", "join", "wide_out", "pooled", "scores")
    assert points.quantised == chosen
    assert points.scale_of["flat"] == "pooled"
    (narrow,) = (layer for layer in graph.layers if layer.name == "narrow")
    assert (narrow.skip, narrow.output) == ("stem_out", "join")


def test_only_the_later_of_two_convolutions_fuses_with_their_sum() -> None:
    def body(f: Floats) -> Any:
        x = f.relu(f.conv(f.x, 4, 1, "first"), "start")
        left, right = f.conv(x, 4, 3, "left"), f.conv(x, 4, 1, "right")
        return f.relu(f.emit(R.add(left, right), "sum"), "end")

    graph, points = points_of(body, 1, 3, 4, 4)
    assert points.quantised == ("x", "start", "left_sum", "end")
    assert [layer.skip for layer in graph.layers] == [None, None, "left_sum"]


def test_a_sum_of_activations_gives_them_one_scale() -> None:
    def body(f: Floats) -> Any:
        x = f.relu(f.conv(f.x, 4, 1, "first"), "start")
        other = f.relu(f.conv(x, 4, 3, "second"), "middle")
        return f.relu(f.emit(R.add(x, other), "sum"), "end")

    _, points = points_of(body, 1, 3, 4, 4)
    assert points.quantised == ("x", "start", "middle", "end")
    assert points.scale_of["start"] == points.scale_of["middle"] != points.scale_of["end"]


def test_a_sum_that_only_its_activation_reads_has_no_scale() -> None:
    """Nothing of it is stored, so that no format is chosen for it."""

    def body(f: Floats) -> Any:
        x = f.relu(f.conv(f.x, 4, 1, "first"), "start")
        total = f.emit(R.add(f.emit(R.nn.max_pool2d(x)), f.emit(R.nn.max_pool2d(x))), "sum")
        return f.relu(total, "end")

    _, points = points_of(body, 1, 3, 4, 4)
    assert "sum" not in points.scale_of
    assert set(points.quantised) <= set(points.scale_of)


def test_concat_gives_its_inputs_one_scale_through_pooling() -> None:
    def body(f: Floats) -> Any:
        x = f.relu(f.conv(f.x, 4, 1, "first"), "start")
        pooled = f.emit(R.nn.max_pool2d(x, (3, 3), padding=1), "pooled")
        other = f.relu(f.conv(x, 4, 3, "second"), "middle")
        return f.conv(f.emit(R.concat([pooled, other], axis=1), "both"), 2, 1, "last")

    _, points = points_of(body, 1, 3, 4, 4)
    assert points.quantised == ("x", "start", "middle", "last_sum")
    assert {points.scale_of[name] for name in ("start", "middle", "pooled", "both")} == {"start"}


def test_float_operators_are_surrounded_but_not_quantised() -> None:
    def body(f: Floats) -> Any:
        x = f.emit(R.sigmoid(f.conv(f.x, 4, 1, "first")), "float")
        x = f.emit(R.nn.max_pool2d(x, (2, 2), strides=2), "pooled")
        return f.emit(R.tanh(f.conv(x, 4, 1, "second")), "end")

    _, points = points_of(body, 1, 3, 4, 4)
    assert points.quantised == ("x", "first_sum", "float", "second_sum")
    assert points.scale_of["pooled"] == "float"


def test_a_layer_without_bias_gets_one() -> None:
    def body(f: Floats) -> Any:
        flat = f.emit(R.reshape(f.x, (1, 12)), "flat")
        return f.emit(R.matmul(flat, relax.const(f.normal(12, 2))), "dense")

    graph, points = points_of(body, 1, 3, 2, 2)
    assert [layer.bias.tolist() for layer in graph.layers] == [[0.0, 0.0]]
    assert points.quantised == ("x", "dense_bias")
