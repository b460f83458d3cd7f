"""Group convolutions run on VTA where the ARM core beside it would take longer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.beside_arm import compare
from lcp_tvm.vta.layer import Graph, Node
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.read_graph import read_graph
from tests.vta import builders
from tests.vta.configs import NO_ARM, PYNQ


def _depthwise(channels: int, size: int, kernel: int = 3) -> tvm.IRModule:
    return builders.conv(
        np.random.default_rng(0), (channels, size, size), channels, (kernel, kernel),
        padding=(kernel // 2,) * 4, groups=channels,
    )  # fmt: skip


def _graph(module: tvm.IRModule) -> Graph:
    partition = partition_vta(module, NO_ARM)
    (function,) = (f for v, f in partition.module.functions.items() if v.name_hint != "main")
    return read_graph(function, "vta_0")


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "on_vta"),
    [(512, 14, 3, True), (32, 112, 3, True), (672, 14, 5, True), (3, 56, 7, False)],
)
def test_a_depthwise_layer_runs_where_it_takes_less(
    channels: int, size: int, kernel: int, on_vta: bool
) -> None:
    """Three channels fill three of sixteen lanes of the array."""
    module = _depthwise(channels, size, kernel)
    found = compare(_graph(module).nodes[0].layer, PYNQ)
    assert found is not None
    assert (found.vta_ms <= found.arm_ms) is on_vta
    assert (partition_vta(module, PYNQ).reasons == ()) is on_vta


def test_only_convolutions_of_groups_are_compared() -> None:
    module = builders.conv(np.random.default_rng(0), (16, 8, 8), 16, (1, 1))
    assert compare(_graph(module).nodes[0].layer, PYNQ) is None
    layers = build_program(_graph(module), PYNQ).header["layers"]
    assert "arm_us" not in layers[0]


def test_a_config_of_no_board_has_no_arm_core() -> None:
    graph = _graph(_depthwise(3, 8))
    assert compare(graph.nodes[0].layer, NO_ARM) is None


def test_the_program_says_what_the_arm_core_would_take() -> None:
    graph = _graph(_depthwise(512, 14))
    found = compare(graph.nodes[0].layer, PYNQ)
    assert found is not None
    (layer,) = build_program(graph, PYNQ).header["layers"]
    assert layer["arm_us"] == round(1e3 * found.arm_ms)


@pytest.mark.parametrize(("channels", "size"), [(512, 14), (256, 28)])
def test_a_layers_time_amid_others_is_the_simulators(channels: int, size: int) -> None:
    """The second of three in a row."""
    one = _graph(_depthwise(channels, size))
    layer, (source,), (target,) = one.nodes[0].layer, one.inputs, one.outputs
    shape = one.shapes[source]
    graph = replace(
        one,
        shapes=dict.fromkeys((source, "a", "b", target), shape),
        nodes=tuple(
            Node(layer, (read,), written)
            for read, written in ((source, "a"), ("a", "b"), ("b", target))
        ),
    )
    inputs = {source: np.zeros(shape, np.int8)}
    _, stats = builders.run_program(build_program(graph, PYNQ), inputs, PYNQ)
    found = compare(layer, PYNQ)
    assert found is not None
    assert stats.layers[1].cycles / 1e5 == pytest.approx(found.vta_ms, rel=0.03)
