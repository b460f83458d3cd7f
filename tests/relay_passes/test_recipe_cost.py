"""Costs of functions, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from tvm.relax import op as R

from lcp_tvm.plan.plan import Cost, Tensor
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.piece import Part, carve
from lcp_tvm.relay_passes.recipe_cost import function_of
from lcp_tvm.relay_passes.split import whole
from tests.relay_passes.spatial_networks import Net

MAP = 8 * 8
"""Elements of a channel; an element takes 4 bytes as float32."""


def cost_of(body: Any, integer: bool = False) -> Cost:
    graph = read_graph(Net(3, 8, 8, integer).build(body))
    piece = carve(graph, whole(graph, graph.outputs), graph.inputs)
    return function_of(graph, piece.recipe).cost


def test_a_convolution_with_bias_and_relu_is_one_loop() -> None:
    assert cost_of(lambda net, h: net.conv(h, 4)) == Cost(
        macs=MAP * 4 * 3 * 9,
        elements=0,
        weight_bytes=4 * (4 * 3 * 9 + 4),
        peak_bytes=4 * MAP * (3 + 4),
    )


def test_the_peak_is_input_and_output_of_the_largest_layer() -> None:
    cost = cost_of(lambda net, h: net.conv(net.conv(net.conv(h, 4), 16), 2))
    assert cost.peak_bytes == 4 * MAP * (4 + 16)


def test_a_skip_stays_alive_until_it_is_added() -> None:
    cost = cost_of(lambda net, h: net.residual(net.conv(h, 4)))
    assert cost.peak_bytes == 4 * MAP * (4 + 4 + 4)


@pytest.mark.parametrize("skip_first", [False, True])
def test_an_addition_belongs_to_the_loop_of_the_convolution_before_it(skip_first: bool) -> None:
    def body(net: Net, h: Any) -> Any:
        product = net.builder.emit(R.nn.conv2d(h, net.constant((3, 3, 3, 3)), padding=1))
        operands = (h, product) if skip_first else (product, h)
        return net.builder.emit(R.add(*operands))

    cost = cost_of(body)
    assert cost.elements == 0
    assert cost.peak_bytes == 4 * MAP * (3 + 3)


def test_pools_and_operators_of_their_own_move_elements() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.builder.emit(R.exp(net.pool(net.builder.emit(R.nn.relu(h)), 2, 2, 0)))

    # relu on all of the input, then the pool, whose result exp turns in the same loop
    assert cost_of(body) == Cost(elements=3 * MAP + 3 * MAP // 4, peak_bytes=4 * MAP * (3 + 3))


def test_what_is_read_twice_by_one_operator_is_computed_in_its_loop() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.builder.emit(R.exp(h))
        return net.builder.emit(R.multiply(h, h))

    assert cost_of(body) == Cost(elements=3 * MAP, peak_bytes=4 * MAP * (3 + 3))


def test_what_two_operators_read_is_kept() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.builder.emit(R.exp(h))
        return net.builder.emit(R.multiply(h, net.builder.emit(R.sigmoid(h))))

    # the input has gone when sigmoid's loop begins
    assert cost_of(body) == Cost(elements=2 * 3 * MAP, peak_bytes=4 * MAP * (3 + 3))


def test_integers_take_a_byte_an_element_and_accumulators_none() -> None:
    def body(net: Net, h: Any) -> Any:
        return net.conv(net.conv(h, 8), 8)

    cost = cost_of(body, integer=True)
    assert cost.macs == cost.integer_macs == MAP * 8 * 9 * (3 + 8)
    # the float result beside the last convolution's input is the most
    assert cost.peak_bytes == MAP * (8 + 4 * 8)
    scalars = 4 + 2 * 4 + 4  # of quantising, of each shift, of what makes floats again
    assert cost.weight_bytes == 8 * 9 * (3 + 8) + 4 * (8 + 8) + scalars


def test_a_constant_that_two_operators_read_counts_once() -> None:
    def body(net: Net, h: Any) -> Any:
        bias = net.constant((1, 3, 1, 1))
        h = net.pool(net.builder.emit(R.add(h, bias)), 2, 2, 0)
        return net.builder.emit(R.add(h, bias))

    assert cost_of(body).weight_bytes == 4 * 3


def test_part_of_a_function_holds_part_of_the_constants() -> None:
    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 4)
        held = net.constant((1, 2, 8, 8))
        return net.builder.emit(R.concat([h, held, held], axis=1))

    graph = read_graph(Net(3, 8, 8).build(body))
    part = Part(graph.outputs[0], ((0, 1), (3, 5), (0, 8), (0, 8)))
    function = function_of(graph, carve(graph, [part], graph.inputs).recipe)
    assert function.args == (Tensor((1, 3, 8, 8), "float32"),)
    assert function.results == (Tensor((1, 2, 8, 8), "float32"),)
    # one kernel with its bias, and one channel of the first constant
    assert function.cost.weight_bytes == 4 * (27 + 1) + 4 * MAP
    assert function.cost.macs == MAP * 27
