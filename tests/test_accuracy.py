"""The bundled network keeps its accuracy: all 10,000 test pictures, int8 on VTA against float."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lcp_tvm.compiler import compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Preprocess
from lcp_tvm.pictures import load_calibration
from lcp_tvm.targets import parse_targets

EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion_mnist"
DATA = Path("/usr/share/datasets/fashion-mnist")
"""Debian's package dataset-fashion-mnist."""


def read_idx(name: str, header: int) -> np.ndarray:
    """The bytes of an idx file after its header."""
    with gzip.open(DATA / f"t10k-{name}-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def prepare(pictures: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """uint8 ``[N, 28, 28]`` to the network's float32 ``[N, 1, 32, 32]``."""
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2)))[:, None].astype(np.float32)
    scaled = padded * np.float32(preprocess.scale)
    return ((scaled - preprocess.mean[0]) / preprocess.std[0]).astype(np.float32)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_int8_on_vta_loses_at_most_0_3_points() -> None:
    network = load_onnx(EXAMPLE / "fashion_net.onnx")
    pictures = prepare(read_idx("images-idx3", 16).reshape(-1, 28, 28), network.preprocess)
    labels = read_idx("labels-idx1", 8)
    assert len(pictures) == len(labels) == 10_000

    session = onnxruntime.InferenceSession(EXAMPLE / "fashion_net.onnx")
    name = session.get_inputs()[0].name
    scores = [session.run(None, {name: picture[None]})[0] for picture in pictures]
    in_float = np.concatenate(scores).argmax(axis=1)

    calibration = load_calibration(EXAMPLE / "calibration", network.preprocess, network.input_shape)
    compiled = compile_network(network, parse_targets("vta"), calibration)
    assert compiled.reasons == ()
    executor = load_local(module.code for module in compiled.modules)
    on_vta = np.array([executor.run(compiled.plan, x[None])[0].argmax() for x in pictures])

    float_accuracy = 100 * np.mean(in_float == labels)
    vta_accuracy = 100 * np.mean(on_vta == labels)
    print(f"float {float_accuracy:.2f} %, int8 on simulated VTA {vta_accuracy:.2f} %")
    assert float_accuracy >= 90
    assert vta_accuracy >= float_accuracy - 0.3
