"""What is alive between layers."""

from __future__ import annotations

from typing import Any

from lcp_tvm.relay_passes.boundaries import boundaries
from lcp_tvm.relay_passes.network_graph import read_graph
from tests.relay_passes.spatial_networks import Net


def _alive(body: Any) -> list[tuple[str, ...]]:
    graph = read_graph(Net(3, 16, 16).build(body))
    return [tuple(graph.nodes[node].op for node in alive) for alive in boundaries(graph)]


def test_in_a_chain_one_result_is_alive_at_a_time() -> None:
    assert _alive(lambda net, h: net.pool(net.conv(net.conv(h, 4), 4), 2, 2, 0)) == [
        ("input",), ("nn.relu",), ("nn.relu",), ("nn.max_pool2d",),
    ]  # fmt: skip


def test_inside_a_residual_block_its_input_is_alive_too() -> None:
    assert _alive(lambda net, h: net.residual(net.conv(h, 4))) == [
        ("input",), ("nn.relu",), ("nn.relu", "nn.relu"), ("nn.relu",),
    ]  # fmt: skip


def test_what_follows_the_last_layer_lies_before_the_last_boundary() -> None:
    assert _alive(lambda net, h: net.head(net.conv(h, 4)))[-2:] == [("nn.relu",), ("matmul",)]
    assert _alive(lambda net, h: net.concat(net.conv(h, 4), net.conv(h, 4)))[-1] == ("concat",)
