"""Pieces: what a task reads and computes for what it writes, alone or with what others give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Box, box_shape
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.relay_passes.network_graph import NetworkGraph, read_graph
from lcp_tvm.relay_passes.piece import Part, Piece, carve, trace
from lcp_tvm.relay_passes.recipe import Apply, Crop, Join, RecipeWriter
from lcp_tvm.relay_passes.recipe_cost import function_of
from lcp_tvm.relay_passes.recipe_function import recipe_module
from tests.reference import evaluate, evaluate_all
from tests.relay_passes.spatial_networks import Net, networks

Array = np.ndarray[Any, Any]


def results_of(graph: NetworkGraph, piece: Piece, values: dict[str, Array]) -> list[Array]:
    """What a piece makes of these values of the graph's nodes."""
    function = recipe_module(graph, {"f": piece.recipe})["f"]
    arguments = [crop(values[graph.nodes[part.node].name], part.box) for part in piece.reads]
    results = evaluate(tvm.IRModule({"main": function}), *arguments)
    return list(results) if isinstance(results, tuple) else [results]


def crop(value: Array, box: Box) -> Array:
    return value[tuple(slice(*side) for side in box)]


def two_convolutions() -> NetworkGraph:
    """Nodes: 0 image, 1..3 the first, 4..6 the second, 12 rows of 10."""
    return read_graph(Net(3, 12, 10).build(lambda net, h: net.conv(net.conv(h, 4), 4)))


def rows(begin: int, end: int, channels: int = 4) -> Box:
    return ((0, 1), (0, channels), (begin, end), (0, 10))


@st.composite
def parts(draw: st.DrawFn, graph: NetworkGraph, nodes: Sequence[int]) -> Part:
    node = graph.nodes[draw(st.sampled_from(nodes))]
    sides = []
    for size in node.shape:
        begin = draw(st.integers(0, size - 1))
        sides.append((begin, draw(st.integers(begin + 1, size))))
    return Part(node.index, tuple(sides))


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_any_targets_from_any_sources_and_given_parts(integer: bool) -> None:
    @settings(max_examples=150)
    @given(networks(integer), st.data())
    def check(module: tvm.IRModule, data: st.DataObject) -> None:
        graph = read_graph(module)
        nodes = range(len(graph.nodes))
        targets = data.draw(st.lists(parts(graph, nodes), min_size=1, max_size=3))
        sources = {0, *data.draw(st.sets(st.sampled_from(nodes), max_size=3))}
        given_parts = data.draw(st.lists(parts(graph, nodes), max_size=6))
        piece = carve(graph, targets, sources, given_parts)
        x = np.random.default_rng(0).uniform(-1, 1, graph.nodes[0].shape).astype(np.float32)
        values = evaluate_all(module, x)
        for result, target in zip(results_of(graph, piece, values), targets, strict=True):
            wanted = crop(values[graph.nodes[target.node].name], target.box)
            if integer:
                np.testing.assert_array_equal(result, wanted)
            else:
                np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5)

    check()


def test_a_piece_reads_the_halo_and_computes_what_the_layers_between_need() -> None:
    graph = two_convolutions()
    piece = carve(graph, [Part(6, rows(0, 4))], graph.inputs)
    assert piece.reads == (Part(0, rows(0, 6, channels=3)),)
    assert piece.writes == (Part(6, rows(0, 4)),)
    assert [part.box for part in piece.computed] == [rows(0, 5)] * 3 + [rows(0, 4)] * 3
    assert [type(step) for step in piece.recipe.steps] == [Apply] * 6


def test_a_piece_reads_its_sources_and_nothing_before_them() -> None:
    piece = carve(two_convolutions(), [Part(6, rows(4, 8))], {0, 3})
    assert piece.reads == (Part(3, rows(3, 9)),)


def test_two_targets_of_one_node_are_cropped_from_their_hull() -> None:
    graph = two_convolutions()
    piece = carve(graph, [Part(3, rows(0, 2)), Part(3, rows(6, 8)), Part(3, rows(0, 8))], {0})
    assert [part.box for part in piece.computed] == [rows(0, 8)] * 3
    assert [type(step) for step in piece.recipe.steps] == [Apply] * 3 + [Crop] * 2


def test_what_others_give_is_read_last_and_not_computed_again() -> None:
    graph = two_convolutions()
    given_parts = [Part(3, rows(8, 9)), Part(3, rows(0, 4)), Part(3, rows(0, 3))]
    piece = carve(graph, [Part(6, rows(4, 8))], {0}, given_parts)
    assert piece.reads == (
        Part(0, rows(3, 9, channels=3)), Part(3, rows(8, 9)), Part(3, rows(3, 4)),
    )  # fmt: skip
    assert piece.borrowed == (0, 1)  # the third holds nothing that the second does not
    assert [part.box for part in piece.computed] == [rows(4, 8)] * 6
    (join,) = [step for step in piece.recipe.steps if isinstance(step, Join)]
    assert (join.axis, [piece.recipe.tensor(v).shape[2] for v in join.values]) == (2, [1, 4, 1])


def test_what_others_give_whole_leaves_nothing_before_it() -> None:
    piece = carve(two_convolutions(), [Part(6, rows(4, 8))], {0}, [Part(3, rows(0, 12))])
    assert piece.reads == (Part(3, rows(3, 9)),)
    assert [part.node for part in piece.computed] == [4, 5, 6]


def test_pieces_of_one_shape_have_equal_recipes_wherever_they_lie() -> None:
    graph = two_convolutions()
    pieces = [carve(graph, [Part(6, rows(at, at + 2))], {0}) for at in range(0, 12, 2)]
    recipes = [piece.recipe for piece in pieces]
    assert recipes[1] == recipes[2] == recipes[3] == recipes[4]
    assert len(set(recipes)) == 3  # the first and the last keep padding
    assert len({piece.reads for piece in pieces}) == 6


def test_pieces_with_other_weights_have_other_recipes() -> None:
    graph = two_convolutions()
    both = [
        carve(graph, [Part(3, ((0, 1), side, (0, 12), (0, 10)))], {0}).recipe
        for side in ((0, 2), (2, 4))
    ]
    assert both[0] != both[1]


def concat_graph(*, constants: bool) -> tuple[tvm.IRModule, NetworkGraph]:
    """Nine channels: 3 of the input, 2 that are held, 3 of the input's exp, 1 that is held."""

    def body(net: Net, h: Any) -> Any:
        held = [net.constant((1, 2, 12, 10)), net.constant((1, 1, 12, 10))]
        if not constants:
            held = [net.conv(h, 2), net.conv(h, 1)]
        other = net.builder.emit(R.exp(h))
        return net.builder.emit(R.concat([h, held[0], other, held[1]], axis=1))

    module = Net(3, 12, 10).build(body)
    return module, read_graph(module)


@pytest.mark.parametrize("constants", [False, True], ids=["tensors", "constants"])
@pytest.mark.parametrize(
    "side", [(0, 2), (3, 5), (3, 4), (2, 4), (2, 7), (5, 8), (8, 9), (4, 9), (0, 9)], ids=str
)
def test_channels_of_a_concat_take_the_operands_that_hold_them(
    side: tuple[int, int], constants: bool
) -> None:
    module, graph = concat_graph(constants=constants)
    box = ((0, 1), side, (0, 12), (0, 10))
    piece = carve(graph, [Part(graph.outputs[0], box)], graph.inputs)
    x = np.random.default_rng(0).normal(size=(1, 3, 12, 10)).astype(np.float32)
    (result,) = results_of(graph, piece, {"image": x})
    np.testing.assert_allclose(result, crop(evaluate(module, x), box), rtol=0, atol=1e-5)
    assert function_of(graph, piece.recipe).results[0].shape == box_shape(box)


def test_channels_of_one_operand_of_a_concat_are_that_operand() -> None:
    _, graph = concat_graph(constants=False)
    box = ((0, 1), (6, 8), (0, 12), (0, 10))
    recipe = carve(graph, [Part(graph.outputs[0], box)], graph.inputs).recipe
    (step,) = recipe.steps
    assert isinstance(step, Apply)
    assert graph.nodes[step.node].op == "exp"


def test_a_trace_counts_as_the_piece_does() -> None:
    graph = two_convolutions()
    target = Part(6, rows(4, 8))
    traced, piece = trace(graph, [target], {0}), carve(graph, [target], {0})
    cost = function_of(graph, piece.recipe).cost
    assert traced.macs(graph) == piece.macs == cost.macs == 10 * 9 * (6 * 4 * 3 + 4 * 4 * 4)


def test_an_input_that_is_no_source_is_missed() -> None:
    with pytest.raises(PlanError, match="image: is needed by a piece that does not read it"):
        carve(two_convolutions(), [Part(6, rows(0, 4))], set())


def test_functions_that_read_one_part_of_a_constant_share_it() -> None:
    graph = two_convolutions()
    side = ((0, 1), (0, 2), (0, 12), (0, 10))
    recipes = {
        "one": carve(graph, [Part(3, side)], {0}).recipe,
        "two": carve(graph, [Part(3, side), Part(1, side)], {0}).recipe,
    }
    module = recipe_module(graph, recipes)

    def weight(name: str) -> Any:
        (call,) = [
            binding.value
            for binding in module[name].body.blocks[0].bindings
            if isinstance(binding.value, relax.Call) and "conv2d" in str(binding.value.op)
        ]
        return call.args[1]

    assert weight("one").same_as(weight("two"))


def test_arguments_come_before_steps() -> None:
    writer = RecipeWriter(two_convolutions())
    tensor = Tensor((1, 3, 2, 10), "float32")
    writer.crop(writer.argument(tensor), rows(0, 1, channels=3))
    with pytest.raises(ValueError, match="an argument after a step"):
        writer.argument(tensor)
