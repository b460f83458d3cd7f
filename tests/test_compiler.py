"""The flow says what runs where, for every kind of target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lcp_tvm.compiler import compile_network
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Convolution, depthwise convolution, convolution, softmax."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (16, 3, 3, 3), "w2": (16, 1, 3, 3), "w3": (10, 16, 8, 8)}
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["first"], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["deep"], pads=[1] * 4, group=16),
        helper.make_node("Relu", ["deep"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["third"]),
        helper.make_node("Softmax", ["third"], ["y"], axis=1),
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
    compiled = compile_network(network, parse_target("vta"))
    assert [(piece.name, piece.device, piece.reason) for piece in compiled.pieces] == [
        ("cpu_0", "cpu", "quantises and packs the input"),
        ("vta_0", "vta", "fits the accelerator"),
        ("cpu_1", "cpu", "not for VTA"),
        ("vta_1", "vta", "fits the accelerator"),
        ("cpu_2", "cpu", "not for VTA"),
    ]
    assert [piece.operators for piece in compiled.pieces[1:]] == [
        ("first",),
        ("conv2d deep",),
        ("third",),
        ("softmax y",),
    ]
    assert [line.partition(",")[0] for line in compiled.reasons] == [
        "conv2d deep: on the CPU",
        "softmax y: on the CPU",
    ]
    assert set(compiled.stats) == {"vta_0", "vta_1"}


def test_a_cpu_target_stays_in_float_without_calibration(network: Network, tmp_path: Path) -> None:
    compiled = compile_network(network, parse_target("cpu"))
    assert compiled.net_vta is None
    assert compiled.integer is None
    assert [piece.reason for piece in compiled.pieces] == ["the target is a CPU"]
    (tmp_path / "net.so").write_bytes(compiled.net_so)
    (result,) = load_local(tmp_path / "net.so", None).run(np.ones((1, 3, 8, 8), np.float32))
    assert result.sum() == pytest.approx(1, abs=1e-5)


def test_a_cpu_target_with_calibration_has_the_bits_of_vta(
    network: Network, tmp_path: Path
) -> None:
    """The same integer module, on either: what VTA computes a CPU computes too."""
    pictures = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)
    results = []
    for text in ("vta", "cpu"):
        compiled = compile_network(network, parse_target(text), pictures)
        so, vta = tmp_path / f"{text}.so", tmp_path / f"{text}.vta"
        so.write_bytes(compiled.net_so)
        vta.write_bytes(compiled.net_vta or b"")
        executor = load_local(so, vta if compiled.net_vta is not None else None)
        results.append(executor.run(pictures[:1])[0])
    np.testing.assert_array_equal(*results)


def test_progress_ends_at_the_whole(network: Network) -> None:
    seen: list[float] = []
    compile_network(network, parse_target("vta"), progress=lambda what, part: seen.append(part))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
