"""Which tensors share a channel dimension, and which operators have no narrower form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.channel_groups import read_channels
from lcp_tvm.relay_passes.network_graph import read_graph
from tests.quantise.float_builder import Floats

Body = Callable[[Floats], Any]


def groups(body: Body) -> list[tuple[str, int]]:
    """Name and width of the groups that can be cut."""
    graph = read_graph(Floats(1, 3, 8, 8).build(body))
    channels = read_channels(graph, graph.nodes)
    return [(group.name, group.width) for group in channels.groups if not group.fixed]


def layout(body: Body, name: str) -> list[tuple[str, int]]:
    """The parts of a tensor: group, and channels for each of its units."""
    graph = read_graph(Floats(1, 3, 8, 8).build(body))
    channels = read_channels(graph, graph.nodes)
    (index,) = (node.index for node in graph.nodes if node.name == name)
    return [(channels.groups[part.group].name, part.size) for part in channels.layouts[index]]


def test_every_layer_with_weights_starts_a_group() -> None:
    assert groups(lambda f: f.conv(f.relu(f.conv(f.x, 8, 3, "a")), 6, 1, "b")) == [
        ("a", 8),
        ("b", 6),
    ]


def test_the_input_is_fixed_and_what_is_added_to_it_too() -> None:
    assert groups(lambda f: R.add(f.conv(f.x, 3, 3, "a"), f.x)) == []


def test_additions_make_their_operands_one_group() -> None:
    def body(f: Floats) -> Any:
        stem = f.conv(f.x, 8, 3, "stem")
        inner = f.relu(f.conv(stem, 16, 3, "inner"))
        return f.relu(f.emit(R.add(f.conv(inner, 8, 3, "outer"), stem)))

    assert groups(body) == [("stem", 8), ("inner", 16)]


def test_depthwise_convolutions_follow_their_input() -> None:
    def body(f: Floats) -> Any:
        return f.conv(f.relu(f.conv(f.x, 8, 3, "a")), 8, 3, "deep", groups=8)

    assert groups(body) == [("a", 8)]


def test_a_depthwise_convolution_can_make_several_channels_of_each() -> None:
    def body(f: Floats) -> Any:
        return f.conv(f.conv(f.x, 8, 3, "a"), 16, 3, "deep", groups=8)

    assert layout(body, "deep_sum") == [("a", 2)]


def test_grouped_convolutions_keep_their_groups_whole() -> None:
    """ResNeXt: 8 channels in 4 groups, so 4 units of 2 channels; the residual path too."""

    def body(f: Floats) -> Any:
        stem = f.conv(f.x, 8, 1, "stem")
        return f.emit(R.add(f.conv(stem, 8, 3, "grouped", groups=4), stem), "join")

    assert groups(body) == [("stem", 4)]
    assert layout(body, "join") == [("stem", 2)]


def test_a_concatenation_has_the_parts_of_its_operands() -> None:
    def body(f: Floats) -> Any:
        return f.emit(R.concat([f.conv(f.x, 4, 1, "a"), f.conv(f.x, 6, 3, "b")], axis=1), "both")

    assert layout(body, "both") == [("a", 1), ("b", 1)]


def test_a_flattened_map_has_its_pixels_for_every_unit() -> None:
    def body(f: Floats) -> Any:
        return f.emit(R.reshape(f.conv(f.x, 4, 1, "a"), (1, 256)), "flat")

    assert layout(body, "flat") == [("a", 64)]


def test_squeeze_and_excitation_scales_the_group_it_came_from() -> None:
    def body(f: Floats) -> Any:
        wide = f.conv(f.x, 8, 1, "wide")
        squeezed = f.conv(f.emit(R.mean(wide, [2, 3], keepdims=True)), 2, 1, "squeeze")
        gate = f.emit(R.sigmoid(f.conv(squeezed, 8, 1, "excite")))
        return R.multiply(wide, gate)

    assert groups(body) == [("wide", 8), ("squeeze", 2)]


def test_local_response_normalisation_keeps_the_group() -> None:
    def body(f: Floats) -> Any:
        h = f.conv(f.x, 8, 1, "a")
        h = f.emit(R.reshape(h, (1, 1, 8, 8, 8)), "deep")
        h = f.emit(R.nn.avg_pool3d(h, [5, 1, 1], padding=[2, 0, 0, 2, 0, 0]), "mean")
        return f.emit(R.reshape(h, (1, 8, 8, 8)), "back")

    assert groups(body) == [("a", 8)]
    assert layout(body, "back") == [("a", 1)]


def _shuffle(f: Floats) -> Any:
    return f.emit(R.permute_dims(f.conv(f.x, 4, 1, "a"), [0, 2, 3, 1]), "moved")


def _softmax(f: Floats) -> Any:
    return f.emit(R.nn.softmax(f.conv(f.x, 4, 1, "a"), axis=1), "attention")


def _across(f: Floats) -> Any:
    return f.emit(R.mean(f.conv(f.x, 4, 1, "a"), axis=[1], keepdims=True), "average")


def _regroup(f: Floats) -> Any:
    return f.emit(R.reshape(f.conv(f.x, 4, 1, "a"), (1, 2, 128, 1)), "folded")


def _parts_differ(f: Floats) -> Any:
    both = f.emit(R.concat([f.conv(f.x, 4, 1, "a"), f.conv(f.x, 4, 3, "b")], axis=1))
    return f.emit(R.add(both, f.conv(f.x, 8, 1, "c")), "join")


def _grouped_parts(f: Floats) -> Any:
    both = f.emit(R.concat([f.conv(f.x, 4, 1, "a"), f.conv(f.x, 4, 3, "b")], axis=1))
    return f.conv(both, 8, 3, "deep", groups=8)


def _no_weights(f: Floats) -> Any:
    flat = f.emit(R.reshape(f.conv(f.x, 4, 1, "a"), (4, 64)))
    return f.emit(R.matmul(flat, f.emit(R.permute_dims(flat))), "product")


def _constant_channels(f: Floats) -> Any:
    zeros = relax.const(np.zeros((1, 1, 8, 8), np.float32))
    return f.emit(R.concat([f.conv(f.x, 4, 1, "a"), zeros], axis=1), "wider")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_shuffle, "moved: permute_dims cannot be divided into branches"),
        (_softmax, "attention: nn.softmax cannot be divided"),
        (_across, "average: mean across channels cannot be divided"),
        (_regroup, r"folded: reshape \[1, 4, 8, 8\] -> \[1, 2, 128, 1\] does not keep channels"),
        (_parts_differ, "join: add of concatenated tensors whose parts differ"),
        (_grouped_parts, "deep: a grouped convolution of concatenated tensors"),
        (_no_weights, "reshape.* does not keep channels together"),
        (_constant_channels, "wider: constant channels cannot be divided"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[1:],
)
def test_refusals_name_the_operator(body: Body, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        groups(body)
