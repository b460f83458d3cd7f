"""Concatenation costs no instruction where tensors can lie side by side, and is exact where not."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.concat import Slice, by_address
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.layer import Concat, Graph, Node, plane_of
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.read_graph import read_graph
from tests.vta import builders
from tests.vta.configs import ROWS
from tests.vta.test_operators import check

PYNQ = load_config("pynq_z1")
SIDE = (2, 2)


def graph_of(inputs: dict[str, int], concats: dict[str, tuple[str, ...]]) -> Graph:
    """Concatenations of tensors with so many channels, in order."""
    channels, nodes = dict(inputs), []
    for output, names in concats.items():
        channels[output] = sum(channels[name] for name in names)
        sources = tuple(plane_of((1, channels[name], *SIDE)) for name in names)
        target = plane_of((1, channels[output], *SIDE))
        nodes.append(Node(Concat(output, "concat", sources, target), names, output))
    shapes = {name: (1, count, *SIDE) for name, count in channels.items()}
    return Graph("g", shapes, tuple(inputs), (nodes[-1].output,), tuple(nodes))


def test_inputs_lie_one_behind_the_other() -> None:
    """Two blocks of a on 2x2 pixels are eight elements."""
    graph, slices = by_address(graph_of({"a": 32, "b": 20}, {"c": ("a", "b")}), PYNQ)
    assert graph.nodes == ()
    assert slices == {"a": Slice("c", 0), "b": Slice("c", 8), "c": Slice("c", 0)}


def test_what_is_concatenated_again_lies_in_both() -> None:
    concats = {"c": ("x", "y"), "d": ("x", "y", "z"), "e": ("w", "d")}
    graph, slices = by_address(graph_of(dict.fromkeys("wxyz", 16), concats), PYNQ)
    assert graph.nodes == ()
    assert {name: part.offset for name, part in slices.items()} == {
        "w": 0, "x": 4, "y": 8, "z": 12, "c": 4, "d": 4, "e": 0,
    }  # fmt: skip
    assert {part.whole for part in slices.values()} == {"e"}


@pytest.mark.parametrize(
    ("concats", "copied"),
    [
        ({"c": ("x", "x")}, ["x"]),
        ({"c": ("x", "y"), "d": ("y", "x")}, ["y", "x"]),
        ({"c": ("x", "y"), "d": ("x", "z")}, ["x"]),
        ({"c": ("x", "y"), "d": ("y", "z")}, ["y"]),
    ],
    ids=["twice", "swapped", "another behind it", "another in front of it"],
)
def test_a_tensor_that_would_lie_in_two_places_is_copied(
    concats: dict[str, tuple[str, ...]], copied: list[str]
) -> None:
    graph, slices = by_address(graph_of(dict.fromkeys("xyz", 16), concats), PYNQ)
    assert [node.inputs for node in graph.nodes] == [(name,) for name in copied]
    last = list(concats)[-1]
    parts = [part for part in slices.values() if part.whole == last]
    assert sorted(part.offset for part in parts) == [0, 0, 4]


def convolved(emit: builders.Emit, data: relax.Expr, channels: int, seed: int) -> relax.Expr:
    rng = np.random.default_rng(seed)
    inputs = int(data.ty.shape[1])
    weight = relax.const(rng.integers(-128, 128, (channels, inputs, 1, 1)).astype(np.int8))
    acc = emit(R.nn.conv2d(data, weight, out_dtype="int32"))
    acc = emit(R.add(acc, builders.int32(rng.integers(-999, 999, (1, channels, 1, 1)))))
    return builders.requantise(emit, acc, 9, -128, 127)


@st.composite
def networks(draw: st.DrawFn) -> tvm.IRModule:
    """Convolutions and concatenations of anything that is there, the last one convolved."""
    steps = draw(
        st.lists(
            st.integers(1, 4) | st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=6
        )
    )
    last = draw(st.lists(st.integers(0, 9), min_size=2, max_size=4))

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        tensors: list[relax.Expr] = [*params, convolved(emit, params[0], 16, 0)]
        for number, step in enumerate([*steps, last]):
            if isinstance(step, int):
                tensors.append(convolved(emit, tensors[-1], 16 * step, number))
            else:
                parts = [tensors[index % len(tensors)] for index in step]
                tensors.append(emit(R.concat([*parts, tensors[-1]], axis=1)))
        return convolved(emit, tensors[-1], 16, 99)

    frames = draw(st.integers(1, 3))
    return builders.module_of({"x": (frames, 16, 3, 3), "y": (frames, 32, 3, 3)}, body)


@settings(max_examples=25)
@given(module=networks(), seed=st.integers(0, 1000), config=st.sampled_from([PYNQ, ROWS]))
def test_any_network_of_concatenations(module: tvm.IRModule, seed: int, config: VtaConfig) -> None:
    check(module, np.random.default_rng(seed), config)


def fire(first: int, second: int) -> tvm.IRModule:
    """SqueezeNet's fire module: two convolutions side by side."""

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        parts = [convolved(emit, params[0], count, count) for count in (first, second)]
        return convolved(emit, emit(R.concat(parts, axis=1)), 8, 0)

    return builders.module_of({"x": (1, 16, 3, 3)}, body)


def test_a_fire_module_has_no_instructions_for_its_concat() -> None:
    program = builders.compile_single(fire(64, 40), PYNQ)
    assert [layer["kind"] for layer in program.header["layers"]] == ["conv2d"] * 3


def test_broken_blocks_are_refused() -> None:
    (line,) = partition_vta(fire(24, 16), PYNQ).reasons
    assert line == (
        "concat lv10: on the CPU, 24 channels in blocks of 16 "
        "(Of what is concatenated, all but the last has whole blocks of channels)"
    )


def test_a_program_may_concatenate_only() -> None:
    """What the CPU makes of one program's result joins it in another."""

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        made = convolved(emit, params[0], 16, 1)
        return emit(R.concat([made, emit(R.negative(made))], axis=1))

    module = builders.module_of({"x": (1, 16, 3, 3)}, body)
    functions = partition_vta(module, PYNQ).module.functions.items()
    graphs = [read_graph(f, v.name_hint) for v, f in functions if v.name_hint != "main"]
    (graph,) = (graph for graph in graphs if graph.nodes[0].layer.kind == "concat")
    program = build_program(graph, PYNQ)
    assert program.header["layers"] == []
    rng = np.random.default_rng(0)
    parts = {
        entry["name"]: rng.integers(-128, 128, entry["shape"]).astype(np.int8)
        for entry in program.header["inputs"]
    }
    outputs, _ = builders.run_program(program, parts, PYNQ)
    (result,) = outputs.values()
    np.testing.assert_array_equal(result, np.concatenate(list(parts.values()), axis=1))
