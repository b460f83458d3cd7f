"""Networks as nodes: what passes through which of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tvm
from hypothesis import given, settings
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, read_graph
from lcp_tvm.relay_passes.split_ftp import fusible_ends
from tests.relay_passes.spatial_networks import Net, networks


def names(graph: NetworkGraph, indices: Sequence[int]) -> list[str]:
    """Operators of some nodes; the input's own name."""
    return [
        graph.nodes[index].name if graph.nodes[index].op == "input" else graph.nodes[index].op
        for index in indices
    ]


def graph_of(body: Any, integer: bool = False) -> NetworkGraph:
    return read_graph(Net(3, 16, 16, integer).build(body))


def test_nodes_are_the_operators_in_order_and_constants_are_no_nodes() -> None:
    graph = graph_of(lambda net, h: net.conv(h, 4))
    assert names(graph, range(4)) == ["image", "nn.conv2d", "add", "nn.relu"]
    data, weight = graph.nodes[1].operands
    assert data == 0
    assert isinstance(weight, Constant)
    assert weight.shape == (4, 3, 3, 3)
    assert graph.users == ((1,), (2,), (3,), ())
    assert (graph.inputs, graph.outputs) == ((0,), (3,))


def test_an_alias_is_the_node_that_it_names() -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.builder.emit(R.nn.relu(h))
        net.builder.emit(first)
        return first

    assert len(graph_of(body).nodes) == 2


def test_variables_of_one_name_become_nodes_of_two() -> None:
    x = relax.Var("x", relax.TensorType((1, 4), "float32"))
    first = relax.DataflowVar("x", relax.TensorType((1, 4), "float32"))
    second = relax.Var("x", relax.TensorType((1, 4), "float32"))
    builder = relax.BlockBuilder()
    bindings = [
        relax.VarBinding(first, builder.normalize(R.nn.relu(x))),
        relax.VarBinding(second, builder.normalize(R.exp(first))),
    ]
    body = relax.SeqExpr([relax.DataflowBlock(bindings)], second)
    main = relax.Function([x], body, relax.TensorType((1, 4), "float32"))
    graph = read_graph(tvm.IRModule({"main": main}))
    assert [node.name for node in graph.nodes] == ["x", "x#1", "x#2"]
    assert [node.operands for node in graph.nodes] == [(), (0,), (1,)]


def test_every_node_of_a_chain_is_a_cut_and_each_layer_ends_once() -> None:
    graph = graph_of(lambda net, h: net.head(net.pool(net.conv(h, 4), 2, 2, 0)))
    assert graph.cuts() == tuple(range(len(graph.nodes)))
    assert names(graph, graph.layer_ends()) == ["image", "nn.relu", "nn.max_pool2d", "matmul"]


def test_layers_of_integers_end_where_they_are_int8() -> None:
    graph = graph_of(lambda net, h: net.residual(net.conv(h, 4)), integer=True)
    ends = graph.layer_ends()
    assert [graph.nodes[end].dtype for end in ends] == ["int8", "int8", "float32"]
    assert [graph.layers_before(end) for end in ends] == [0, 1, 3]


def test_inside_a_residual_block_there_is_no_cut() -> None:
    graph = graph_of(lambda net, h: net.residual(net.conv(h, 4)))
    assert names(graph, graph.cuts()) == ["image", "nn.conv2d", "add", "nn.relu", "add", "nn.relu"]
    assert [graph.layers_before(end) for end in graph.layer_ends()] == [0, 1, 3]


def test_a_fork_is_cut_before_and_after() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 4)
        return net.conv(net.concat(net.conv(h, 3), net.conv(h, 2)), 2)

    graph = graph_of(body)
    assert [graph.layers_before(end) for end in graph.layer_ends()] == [0, 1, 3, 4]
    assert names(graph, graph.layer_ends()) == ["image", "nn.relu", "concat", "nn.relu"]


def test_after_an_output_in_the_middle_there_is_no_cut() -> None:
    def body(net: Net, h: Any) -> Any:
        first = net.conv(net.conv(h, 4), 4)
        return first, net.conv(net.conv(first, 4), 4)

    graph = graph_of(body)
    assert len(graph.outputs) == 2
    assert graph.cuts()[-1] == graph.outputs[0]
    assert [graph.layers_before(end) for end in graph.layer_ends()] == [0, 1, 2]


def test_an_input_that_is_returned_hinders_no_cut() -> None:
    graph = graph_of(lambda net, h: (h, net.conv(h, 4)))
    assert graph.outputs == (0, 3)
    assert graph.cuts() == (0, 1, 2, 3)


def test_a_flattening_ends_the_layer_before_it() -> None:
    def body(net: Net, h: Any) -> Any:
        flat = net.builder.emit(R.reshape(net.conv(h, 4), (1, 1024)))
        return net.builder.emit(R.nn.softmax(flat))

    graph = graph_of(body)
    assert names(graph, graph.layer_ends()) == ["image", "nn.relu"]


def test_a_softmax_of_maps_ends_the_layer_before_it() -> None:
    """It may need all rows and columns, where the convolution does not."""

    def body(net: Net, h: Any) -> Any:
        return net.builder.emit(R.nn.softmax(net.conv(net.conv(h, 4), 4), axis=1))

    graph = graph_of(body)
    assert names(graph, graph.layer_ends()) == ["image", "nn.relu", "nn.relu"]
    assert names(graph, fusible_ends(graph)) == ["nn.relu", "nn.relu"]


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
def test_without_a_cut_the_output_cannot_be_reached(integer: bool) -> None:
    @settings(max_examples=40)
    @given(networks(integer))
    def check(module: tvm.IRModule) -> None:
        graph = read_graph(module)
        cuts = set(graph.cuts())
        for node in graph.nodes:
            reached = {0} - {node.index}
            for other in graph.nodes[1:]:
                if other.index != node.index and reached.intersection(
                    operand for operand in other.operands if isinstance(operand, int)
                ):
                    reached.add(other.index)
            assert (node.index in cuts) == (graph.outputs[0] not in reached)

    check()


def test_what_cannot_be_split_is_named() -> None:
    def body(net: Net, h: Any) -> Any:
        parts = net.builder.emit(R.split(h, 3, axis=1))
        return net.builder.emit(relax.TupleGetItem(parts, 0))

    with pytest.raises(PlanError, match="is no tensor of known shape"):
        graph_of(body)


def test_an_unknown_size_is_refused() -> None:
    batch = tvm.tirx.Var("n", "int64")
    x = relax.Var("x", relax.TensorType((batch, 4), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            out = builder.emit_output(R.nn.relu(x))
        builder.emit_func_output(out)
    with pytest.raises(PlanError, match=r"x: its shape .* is not known; fix the sizes"):
        read_graph(builder.finalize())
