"""Equalisation and fitting change weights and ranges, not what the network computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm.relax import op as R

from lcp_tvm.quantise.annotate import with_parameters
from lcp_tvm.quantise.calibrate import Evaluator, TensorStatistics, collect
from lcp_tvm.quantise.equalise import channel_groups, equalise
from lcp_tvm.quantise.fit import STEPS, fit, misfit
from lcp_tvm.quantise.graph import Graph, read_graph, shape_of, with_biases
from lcp_tvm.quantise.points import find_points
from lcp_tvm.quantise.threshold import best_bits, squared_error
from tests.quantise.float_builder import Floats, pictures, small_residual


def prepared(
    body: Any, *shape: int
) -> tuple[tvm.IRModule, Graph, dict[str, TensorStatistics], np.ndarray[Any, Any]]:
    module = with_biases(Floats(1, *shape).build(body))
    graph = read_graph(module)
    sizes = {"x": int(np.prod(shape))}
    sizes |= {name: int(np.prod(shape_of(expr))) for name, expr in graph.bindings.items()}
    images = pictures(4, *shape)
    return module, graph, collect(module, sizes, images, lambda _: None), images


def result(module: tvm.IRModule, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(Evaluator(module, ["result"])(picture)["result"])


def test_the_function_stays_the_same() -> None:
    module, graph, statistics, images = prepared(small_residual, 3, 8, 8)
    layers = equalise(graph, channel_groups(graph), statistics)
    after = with_parameters(module, layers)
    assert any(np.any(layers[old.name].weight != old.weight) for old in graph.layers)
    for image in images:
        np.testing.assert_allclose(result(after, image), result(module, image), atol=1e-5)


def test_ranges_of_channels_come_together_through_relu() -> None:
    def body(f: Floats) -> Any:
        y = f.relu(f.conv(f.x, 16, 1, "first", spread=2.0))
        return f.conv(y, 4, 1, "second")

    _, graph, statistics, _ = prepared(body, 3, 6, 6)

    def spread(weight: Any) -> float:
        ranges = np.abs(weight).max(axis=(1, 2, 3))
        return float(ranges.max() / ranges.min())

    layers = equalise(graph, channel_groups(graph), statistics)
    before = {layer.name: layer for layer in graph.layers}
    assert spread(layers["first"].weight) < spread(before["first"].weight) / 3


def test_a_clipped_channel_keeps_its_scale() -> None:
    """Channel 0 reaches the bound of 6, channel 1 does not."""

    def body(f: Floats) -> Any:
        clipped = f.emit(R.clip(f.conv(f.x, 2, 1, "first"), 0, 6), "clipped")
        return f.conv(clipped, 3, 1, "second")

    _, graph, statistics, _ = prepared(body, 3, 6, 6)
    high = np.asarray([6.0, 0.5], np.float32)
    clip = statistics["clipped"]
    statistics["clipped"] = TensorStatistics(clip.samples, clip.mean, clip.variance, 0 * high, high)
    layers = equalise(graph, channel_groups(graph), statistics)
    before = {layer.name: layer for layer in graph.layers}
    ratio = layers["first"].weight / before["first"].weight
    np.testing.assert_array_equal(ratio[0], 1.0)
    assert not np.allclose(ratio[1], 1.0)
    assert high[1] * ratio[1].max() < 6


def test_groups_of_a_residual_network() -> None:
    _, graph, _, _ = prepared(small_residual, 3, 8, 8)
    found = {(group.producers, group.consumers) for group in channel_groups(graph)}
    assert found == {
        (("stem", "narrow"), ("deep", "wide")),
        (("deep",), ("narrow",)),
        (("wide",), ("dense",)),
    }


def test_a_tensor_that_anything_else_reads_is_left_alone() -> None:
    def body(f: Floats) -> Any:
        y = f.relu(f.conv(f.x, 4, 1, "first"))
        return f.emit(R.add(f.conv(y, 4, 1, "second"), f.emit(R.tanh(y))))

    _, graph, _, _ = prepared(body, 3, 4, 4)
    assert channel_groups(graph) == ()


def test_fitting_moves_clips_along_and_keeps_the_function() -> None:
    module, graph, statistics, images = prepared(small_residual, 3, 8, 8)
    points, groups = find_points(graph), channel_groups(graph)
    after, scaled = fit(module, graph, groups, points, statistics)
    for image in images:
        np.testing.assert_allclose(result(after, image), result(module, image), atol=1e-5)
    assert scaled["x"] is statistics["x"]
    factor = statistics["stem_out"].high.max() / scaled["stem_out"].high.max()
    bound = read_graph(after).bindings["stem_out"].args[2].value
    np.testing.assert_allclose(bound * factor, 6.0)


def test_misfit_is_least_where_the_range_ends_at_a_power_of_two() -> None:
    """Uniform numbers up to 1.09 fit once doubled in 7 of 8 steps: 2 is the next power of two."""
    values = np.linspace(-1.09, 1.09, 4001).astype(np.float32)
    ratios = misfit(values)
    assert int(np.argmin(ratios)) == STEPS - 1
    power = float(np.mean(np.square(values)))
    np.testing.assert_allclose(ratios[0], squared_error(values, best_bits([values])) / power, 0.1)
