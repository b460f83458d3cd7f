"""The flow says what runs where, for every kind of target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network
from lcp_tvm.targets import parse_targets


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Convolution, sigmoid, convolution, softmax."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (16, 3, 3, 3), "w2": (10, 16, 8, 8)}
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["first"], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["r1"]),
        helper.make_node("Sigmoid", ["r1"], ["bent"]),
        helper.make_node("Conv", ["bent", "w2"], ["second"]),
        helper.make_node("Softmax", ["second"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10, 1, 1])],
        weights,
    )
    path = tmp_path / "small.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return load_onnx(path)


def test_pieces_are_in_execution_order_and_say_why(network: Network) -> None:
    compiled = compile_network(network, parse_targets("vta"))
    (module,) = compiled.modules
    assert [(piece.name, piece.device, piece.reason) for piece in module.pieces] == [
        ("cpu_0", "cpu", "quantises and packs the input"),
        ("vta_0", "vta", "fits the accelerator"),
        ("cpu_1", "cpu", "not for VTA"),
        ("vta_1", "vta", "fits the accelerator"),
        ("cpu_2", "cpu", "not for VTA"),
    ]
    assert [piece.operators for piece in module.pieces[1:]] == [
        ("first",),
        ("sigmoid bent",),
        ("second",),
        ("softmax y",),
    ]
    assert [line.partition(",")[0] for line in compiled.reasons] == [
        "sigmoid bent: on the CPU",
        "softmax y: on the CPU",
    ]
    assert set(module.stats) == {"vta_0", "vta_1"}


def run(compiled: Compiled, x: np.ndarray) -> np.ndarray:
    (result,) = load_local(module.code for module in compiled.modules).run(compiled.plan, x)
    return result


def test_a_cpu_target_stays_in_float_without_calibration(network: Network) -> None:
    compiled = compile_network(network, parse_targets("cpu"))
    (module,) = compiled.modules
    assert module.code.vta is None
    assert compiled.integer is None
    assert [piece.reason for piece in module.pieces] == ["the target is a CPU"]
    result = run(compiled, np.ones((1, 3, 8, 8), np.float32))
    assert result.sum() == pytest.approx(1, abs=1e-5)


def test_a_cpu_target_with_calibration_has_the_bits_of_vta(network: Network) -> None:
    """The same integer module, on either: what VTA computes a CPU computes too."""
    pictures = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)
    results = [
        run(compile_network(network, parse_targets(text), pictures), pictures[:1])
        for text in ("vta", "cpu")
    ]
    np.testing.assert_array_equal(*results)


def test_progress_ends_at_the_whole(network: Network) -> None:
    seen: list[float] = []
    compile_network(network, parse_targets("vta"), progress=lambda what, part: seen.append(part))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
