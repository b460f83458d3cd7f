"""Networks whose files are well formed and whose content is not: imported or refused, quickly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import InputError, LcpError
from lcp_tvm.frontend.mxnet import to_onnx
from lcp_tvm.frontend.mxnet_symbol import MAX_NODES, Operator, Symbol, parse_symbol
from lcp_tvm.frontend.onnx import network_of

OPERATORS = (
    *(Operator("null", name, (), {}) for name in ("data", "w", "b", "gamma", "beta", "mean")),
    *(Operator("null", name, (), {}) for name in ("var", "dw", "db")),
    Operator(
        "Convolution", "conv", ("data", "w", "b"),
        {"kernel": "(3, 3)", "stride": "(1, 1)", "pad": "(1, 1)", "dilate": "(1, 1)",
         "num_group": "1", "num_filter": "4"},
    ),
    Operator(
        "BatchNorm", "norm", ("conv", "gamma", "beta", "mean", "var"),
        {"eps": "1e-5", "axis": "1", "fix_gamma": "False"},
    ),
    Operator("clip", "clip", ("norm",), {"a_min": "0", "a_max": "6"}),
    Operator("LeakyReLU", "leaky", ("clip",), {"act_type": "leaky", "slope": "0.1"}),
    Operator(
        "Pooling", "max", ("leaky",),
        {"kernel": "(2, 2)", "stride": "(2, 2)", "pad": "(0, 0)", "pooling_convention": "full"},
    ),
    Operator(
        "Pooling", "avg", ("leaky",),
        {"kernel": "(2, 2)", "stride": "(2, 2)", "pad": "(0, 0)", "pool_type": "avg"},
    ),
    Operator("Concat", "concat", ("max", "avg"), {"dim": "1"}),
    Operator("elemwise_add", "add", ("concat", "concat"), {}),
    Operator("FullyConnected", "dense", ("add", "dw", "db"), {"flatten": "True"}),
)  # fmt: skip
SHAPES: dict[str, tuple[int, ...]] = {
    "w": (4, 3, 3, 3), "b": (4,), "gamma": (4,), "beta": (4,), "mean": (4,), "var": (4,),
    "dw": (3, 128), "db": (3,),
}  # fmt: skip
TEXTS = (
    "-1", "0", "(0, 0)", "(-1, -1)", "(999999999, 999999999)", "(1, 2, 3)", "(3,)", "()", "nan",
    "inf", "-inf", "1e309", "None", "x", "999999999",
)  # fmt: skip
WRONG = ((), (0,), (5,), (4, 3), (4, 0, 3, 3), (4, 5, 3, 3), (2, 3, 3, 3), (1, 1, 1, 1))


@st.composite
def changed(draw: st.DrawFn) -> tuple[Symbol, dict[str, np.ndarray]]:
    """The network above with one or two attributes, inputs or shapes that may not go with it."""
    operators, shapes = list(OPERATORS), dict(SHAPES)
    for _ in range(draw(st.integers(1, 2))):
        what = draw(st.sampled_from(("attribute", "attribute", "shape", "input")))
        if what == "shape":
            shapes[draw(st.sampled_from(sorted(shapes)))] = draw(st.sampled_from(WRONG))
            continue
        number = draw(st.integers(9, len(operators) - 1))
        operator = operators[number]
        if what == "input":
            other = draw(st.sampled_from(operators[:number])).name
            inputs = (*operator.inputs[:-1], other) if draw(st.booleans()) else operator.inputs[:-1]
            operators[number] = replace(operator, inputs=inputs)
        elif operator.attributes:
            key = draw(st.sampled_from(sorted(operator.attributes)))
            attributes = {**operator.attributes, key: draw(st.sampled_from(TEXTS))}
            operators[number] = replace(operator, attributes=attributes)
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return Symbol(tuple(operators), "dense"), arrays


@settings(max_examples=100)
@given(changed())
def test_changed_networks_are_imported_or_refused(
    network: tuple[Symbol, dict[str, np.ndarray]],
) -> None:
    symbol, arrays = network
    try:
        found = network_of(to_onnx(symbol, arrays, (8, 8)), Path("net"))
    except LcpError:
        return
    assert found.input_shape[2:] == (8, 8)


def test_the_network_that_is_changed_is_imported() -> None:
    arrays = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    found = network_of(to_onnx(Symbol(OPERATORS, "dense"), arrays, (8, 8)), Path("net"))
    assert found.input_shape == (1, 3, 8, 8)


@pytest.mark.parametrize("shape", [(), (0,), (5,)])
def test_weights_of_too_few_dimensions_say_nothing_of_the_input(shape: tuple[int, ...]) -> None:
    arrays = {name: np.ones(size, np.float32) for name, size in {**SHAPES, "w": shape}.items()}
    with pytest.raises(LcpError):
        network_of(to_onnx(Symbol(OPERATORS, "dense"), arrays, (8, 8)), Path("net"))


def test_a_graph_that_is_too_deep_is_refused() -> None:
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    for number in range(MAX_NODES):
        nodes.append({"op": "relu", "name": str(number), "inputs": [[number, 0, 0]]})
    text = json.dumps({"nodes": nodes, "heads": [[MAX_NODES, 0, 0]]}).encode()
    with pytest.raises(InputError, match=f"{MAX_NODES + 1} nodes, more than {MAX_NODES}"):
        parse_symbol(text)


@pytest.mark.parametrize("eps", ["0", "-1", "nan", "inf", "x"])
def test_a_batch_norm_needs_a_small_eps(eps: str) -> None:
    norm = replace(OPERATORS[10], attributes={"eps": eps, "axis": "1"})
    symbol = Symbol((*OPERATORS[:10], norm), "norm")
    arrays = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    with pytest.raises(InputError, match="BatchNorm at node 'norm': eps is"):
        to_onnx(symbol, arrays, (8, 8))
