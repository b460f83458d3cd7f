"""Whole networks are bit-exact: compiled for VTA and run, against numpy on the integer module."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.targets import parse_targets
from lcp_tvm.vta.config import VtaConfig
from tests.networks import decoder, efficientnet_lite0, light_network, mobilenet, resnet18
from tests.reference import evaluate
from tests.vta.configs import ROWS, ROWS_WIDE, WIDE

BUNDLED = Path(__file__).parents[1] / "examples" / "fashion_mnist" / "fashion_net.onnx"


def compile_and_compare(model: Path, target: str = "vta", frames: int = 1) -> Compiled:
    """Compile with random calibration pictures, run once, compare every bit."""
    network = load_onnx(model)
    compiled = compile_network(network, parse_targets(target), frames=frames)
    integer = compiled.integer
    assert integer is not None
    executor = load_local(module.code for module in compiled.modules)
    size = (frames, *network.input_shape[1:])
    pictures = np.random.default_rng(1).normal(size=size).astype(np.float32)
    (result,) = executor.run(compiled.plan, pictures)
    expected = np.concatenate(
        [evaluate(integer, picture) for picture in np.split(pictures, frames)]
    )
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


@pytest.mark.parametrize("config", [WIDE, ROWS, ROWS_WIDE], ids=lambda config: str(config.name))
@pytest.mark.parametrize("frames", [1, 5])
def test_bundled_network_on_other_arrays(config: VtaConfig, frames: int, tmp_path: Path) -> None:
    file = tmp_path / "array.json"
    file.write_text(config.to_json())
    compiled = compile_and_compare(BUNDLED, f"vta:{file}", frames)
    assert compiled.reasons == ()


@pytest.mark.parametrize("board", ["ultra96", "zcu104"])
def test_bundled_network_on_faster_boards(board: str) -> None:
    compiled = compile_and_compare(BUNDLED, f"vta:{board}")
    assert compiled.reasons == ()


@pytest.mark.slow
def test_four_frames_of_resnet18_share_their_weights(tmp_path: Path) -> None:
    compiled = compile_and_compare(save(resnet18(), tmp_path), frames=4)
    assert compiled.plan.functions["network"].measured_ms["pynq_z1"] / 4 < 85


def test_transposed_convolutions_and_leaky_relu_are_in_one_program(tmp_path: Path) -> None:
    compiled = compile_and_compare(save(decoder(), tmp_path))
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
@pytest.mark.parametrize("network", [mobilenet, efficientnet_lite0])
def test_networks_with_depthwise_layers_are_one_program(
    network: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    compiled = compile_and_compare(save(network(), tmp_path))
    assert compiled.reasons == ()
    (module,) = compiled.modules
    (program,) = module.header["programs"]
    (stats,) = module.stats.values()
    deep = [
        (layer["arm_us"], counted["cycles"] / 100)
        for layer, counted in zip(program["layers"], stats["layers"], strict=True)
        if "arm_us" in layer
    ]
    assert len(deep) in (13, 16)
    assert all(vta_us < arm_us for arm_us, vta_us in deep)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "resnet50", "vgg19"])
def test_known_structures(name: str, tmp_path: Path) -> None:
    compiled = compile_and_compare(save(light_network(name), tmp_path))
    assert heavy_reasons(compiled) == []
    assert len(compiled.modules[0].header["programs"]) == 1
