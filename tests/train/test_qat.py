"""Training with rounding: it learns, keeps its scales, and compiles to what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.export_file import write_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network
from lcp_tvm.quantise import quantise
from lcp_tvm.quantise.graph import op_name
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.split_text import Lcp
from lcp_tvm.targets import parse_targets
from lcp_tvm.train.accuracy import accuracy, answers
from lcp_tvm.train.int8 import integer_network
from lcp_tvm.train.lesson import Lesson
from lcp_tvm.train.loop import Outcome
from lcp_tvm.train.losses import Objective
from lcp_tvm.train.qat import calibration, settings_of_int8, train_quantised
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.sites import bindings_of
from lcp_tvm.train.torch_network import to_torch
from tests.quantise.float_builder import Floats, network
from tests.train.tiny import PREPROCESS, bars

LESSON = Lesson(bars(400, 1), bars(200, 2), PREPROCESS, Objective())
SETTINGS = Settings(epochs=24, batch=16, learning_rate=0.3, augment="none")


def untrained(f: Floats) -> Any:
    h = f.relu(f.conv(f.x, 8, 3, "conv"), "features")
    pooled = f.emit(R.nn.max_pool2d(h, [4, 4], [4, 4]), "pooled")
    dense = f.emit(R.matmul(f.emit(R.reshape(pooled, (1, 32))), relax.const(f.normal(32, 2))))
    return f.emit(R.add(dense, relax.const(f.normal(2))), "scores")


@pytest.fixture(scope="module")
def branches() -> Network:
    """Two branches with the weights that they began with."""
    module = split_lcp_network(Floats(1, 1, 8, 8).build(untrained), 2).module
    return replace(network(module), preprocess=PREPROCESS)


@pytest.fixture(scope="module")
def trained(branches: Network) -> tuple[Network, Outcome]:
    return train_quantised(branches, LESSON, SETTINGS)


def scales(module: tvm.IRModule) -> dict[str, float]:
    """Of every quantize and dequantize, by the variable it makes."""
    return {
        name: float(expr.args[1].value.numpy())
        for name, expr in bindings_of(module).items()
        if op_name(expr) in ("quantize", "dequantize")
    }


def right(network: Network) -> float:
    expected = LESSON.expected()
    return accuracy(integer_network(network.module), LESSON.test, PREPROCESS, expected)


def test_the_integer_network_learns(branches: Network, trained: tuple[Network, Outcome]) -> None:
    before = replace(
        branches,
        module=quantise(branches, calibration(LESSON.training, LESSON.preprocess, 0)).module,
    )
    assert right(before) < 70
    assert right(trained[0]) > 90


def test_rounding_in_float_foretells_the_integer_network(
    trained: tuple[Network, Outcome],
) -> None:
    found, outcome = trained
    assert right(found) == pytest.approx(outcome.accuracy, abs=2)
    again = accuracy(to_torch(found.module), LESSON.test, PREPROCESS, LESSON.expected())
    assert again == outcome.accuracy


def test_scales_stay_those_of_calibration(
    branches: Network, trained: tuple[Network, Outcome]
) -> None:
    wanted = scales(
        quantise(branches, calibration(LESSON.training, LESSON.preprocess, SETTINGS.seed)).module
    )
    assert len(wanted) > 8
    assert scales(trained[0].module) == wanted


def test_it_is_compiled_with_its_scales(trained: tuple[Network, Outcome], tmp_path: Path) -> None:
    """By way of an ONNX file, to the branches it has; on VTA it answers what was measured."""
    write_onnx(trained[0], tmp_path / "split.onnx")
    read = load_onnx(tmp_path / "split.onnx")
    compiled = compile_network(read, parse_targets("vta"), split=Lcp(2, 0))
    executor = load_local(module.code for module in compiled.modules)
    pictures = LESSON.test.take(np.arange(40))
    values = (pictures.pixels * np.float32(PREPROCESS.scale) - np.float32(0.5)) / np.float32(0.5)
    on_vta = [executor.run(compiled.plan, picture[None])[0].argmax() for picture in values]
    found = answers(integer_network(trained[0].module), pictures, PREPROCESS)
    np.testing.assert_array_equal(found, on_vta)


def test_the_same_seed_gives_the_same_bits(
    branches: Network, trained: tuple[Network, Outcome], tmp_path: Path
) -> None:
    again, _ = train_quantised(branches, LESSON, SETTINGS)
    files = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for file, one in zip(files, (trained[0], again), strict=True):
        write_onnx(one, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_settings_are_gentler_and_in_float32() -> None:
    settings = settings_of_int8(Settings(epochs=12, learning_rate=1e-2, precision="bf16", seed=3))
    assert settings == Settings(epochs=3, learning_rate=1e-3, seed=3)
    assert settings_of_int8(Settings(epochs=1)).epochs == 1
