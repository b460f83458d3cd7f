"""onnx's own tests of the operators that blocked kernels compute, from the front end to numbers.

Each model gets one picture, as the front end wants it: what else it reads becomes constants, and a
1x1 convolution that changes nothing goes before the operator, so that maps reach it in blocks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tvm
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tvm import relax

from lcp_tvm.cpu.fuse import fuse_kernels
from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.onnx import network_of
from tests.cpu.kernels.levels import target_of
from tests.cpu.test_block import blocked

Floats = NDArray[np.float32]
RELATIVE = 1e-4
WRITTEN = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 5e-5}
"""Where onnx writes results down in decimals: half of the last one."""

REFUSED = {
    "test_batchnorm_example_training_mode": "training mode",
    "test_batchnorm_epsilon_training_mode": "training mode",
    "test_maxpool_with_argmax_2d_precomputed_pads": "Expected 2 but Got 1 in MaxPool",
    "test_maxpool_with_argmax_2d_precomputed_strides": "Expected 2 but Got 1 in MaxPool",
}
"""What the front end says of models that it does not take."""

CASES = {
    "Add": 2,
    "AveragePool": 17,
    "BatchNormalization": 4,
    "Clip": 9,
    "Concat": 12,
    "Conv": 6,
    "Gemm": 11,
    "GlobalAveragePool": 2,
    "GlobalMaxPool": 2,
    "LeakyRelu": 3,
    "MatMul": 7,
    "MaxPool": 18,
    "Mul": 3,
    "Relu": 1,
    "Sum": 3,
}
"""How many tests of float32 numbers an operator has at least: onnx adds some with each release."""

MODULES = {"BatchNormalization": "batch_normalization"}
"""onnx's module of an operator's tests, where it has another name."""


@pytest.mark.parametrize("operator", CASES)
def test_an_operator_gives_onnxs_numbers(operator: str) -> None:
    cases = _cases(operator)
    assert len(cases) >= CASES[operator]
    pictures: dict[str, tuple[Floats, list[Floats]]] = {}
    functions: dict[str, relax.Function] = {}
    for case in cases:
        inputs, expected = case.data_sets[0]
        model, picture = _of_a_picture(case.model, inputs)
        if case.name in REFUSED:
            with pytest.raises(ModelError, match=REFUSED[case.name]):
                network_of(model, Path("net.onnx"))
            continue
        main = network_of(model, Path("net.onnx")).module["main"]
        functions[case.name] = main.with_attr("global_symbol", case.name)
        pictures[case.name] = picture, expected

    target = target_of("x86-64-v2")
    compiled = tvm.compile(fuse_kernels(blocked(tvm.IRModule(functions))), target=target)
    machine = relax.VirtualMachine(compiled, tvm.cpu())
    for name, (picture, expected) in pictures.items():
        (wanted,) = expected
        result = machine[name](tvm.runtime.tensor(picture)).numpy()
        assert result.shape == wanted.shape
        bound = RELATIVE * np.abs(wanted).max() + WRITTEN.get(name, 0)
        assert np.abs(result - wanted).max() <= bound, name


def _cases(operator: str) -> list[Any]:
    """Return onnx's tests of one node that reads float32 numbers first."""
    package = import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what onnx computes
        import_module(f"{package.__name__}.{MODULES.get(operator, operator.lower())}")
    return [
        case
        for case in package._NodeTestCases
        if [node.op_type for node in case.model.graph.node] == [operator]
        and case.data_sets[0][0][0].dtype == np.float32
    ]


def _of_a_picture(model: onnx.ModelProto, inputs: list[Any]) -> tuple[onnx.ModelProto, Floats]:
    """Return a model of one input [1, C, H, W], and that input."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, x = made.graph, inputs[0]
    first, *others = [value.name for value in graph.input]
    constants: Mapping[str, Any] = dict(zip(others, inputs[1:], strict=True))
    nodes = []
    if x.ndim == 4:
        channels = x.shape[1]
        same = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
        constants |= {"picture_shape": np.array(x.shape), "same": same}
        nodes.append(helper.make_node("Reshape", ["picture", "picture_shape"], ["map"]))
        nodes.append(helper.make_node("Conv", ["map", "same"], [first]))
    else:
        constants |= {"picture_shape": np.array(x.shape)}
        nodes.append(helper.make_node("Reshape", ["picture", "picture_shape"], [first]))
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    nodes += graph.node
    del graph.input[:], graph.node[:]
    graph.node.extend(nodes)
    picture = x.reshape(x.shape if x.ndim == 4 and x.shape[0] == 1 else (1, 1, 1, -1))
    kind = onnx.TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("picture", kind, picture.shape))
    return made, picture
