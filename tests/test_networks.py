"""Whole networks are bit-exact: compiled for VTA and run, against numpy on the integer module."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.targets import parse_targets
from tests.networks import light_network, resnet18
from tests.reference import evaluate

BUNDLED = Path(__file__).parents[1] / "examples" / "fashion_mnist" / "fashion_net.onnx"


def compile_and_compare(model: Path) -> Compiled:
    """Compile with random calibration pictures, run once, compare every bit."""
    network = load_onnx(model)
    compiled = compile_network(network, parse_targets("vta"))
    assert compiled.integer is not None
    executor = load_local(module.code for module in compiled.modules)
    picture = np.random.default_rng(1).normal(size=network.input_shape).astype(np.float32)
    (result,) = executor.run(compiled.plan, picture)
    expected = evaluate(compiled.integer, picture)
    assert np.ptp(expected) > 0  # an output of one value would agree with anything
    np.testing.assert_array_equal(result, expected)
    return compiled


def save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def heavy_reasons(compiled: Compiled) -> list[str]:
    """Operators with weights that VTA did not get."""
    return [line for line in compiled.reasons if line.startswith(("conv2d", "matmul"))]


def test_bundled_network() -> None:
    compiled = compile_and_compare(BUNDLED)
    assert compiled.reasons == ()
    assert len(compiled.modules[0].header["programs"]) == 1


@pytest.mark.slow
def test_resnet18_is_one_program_from_image_to_logits(tmp_path: Path) -> None:
    compiled = compile_and_compare(save(resnet18(), tmp_path))
    assert compiled.reasons == ()
    assert len(compiled.modules[0].header["programs"]) == 1

    executor = load_local(module.code for module in compiled.modules)
    picture = np.zeros((1, 3, 224, 224), dtype=np.float32)
    start = time.process_time()
    executor.run(compiled.plan, picture)
    assert time.process_time() - start < 2  # of one core, all checks on


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "resnet50", "vgg19"])
def test_known_structures(name: str, tmp_path: Path) -> None:
    compiled = compile_and_compare(save(light_network(name), tmp_path))
    assert heavy_reasons(compiled) == []
    assert len(compiled.modules[0].header["programs"]) == 1
