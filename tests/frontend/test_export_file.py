"""A network written as ONNX comes back with all that belongs to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcp_tvm.detector import Detector
from lcp_tvm.errors import InputError
from lcp_tvm.frontend.export_file import write_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Preprocess
from tests.quantise.float_builder import Floats, network, small_residual
from tests.reference import evaluate

PREPROCESS = Preprocess((8, 8), (0.25, 0.5, 0.75), (0.5,), 1 / 255, "BGR", "crop")


def test_reads_back_as_the_same_network(tmp_path: Path) -> None:
    written = replace(
        network(Floats(1, 3, 8, 8).build(small_residual)),
        preprocess=PREPROCESS,
        labels=("cat", "dog", "a", "b", "c"),
    )
    write_onnx(written, tmp_path / "net.onnx")
    read = load_onnx(tmp_path / "net.onnx")
    assert (read.preprocess, read.labels) == (written.preprocess, written.labels)
    assert read.messages == ()
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(evaluate(read.module, x), evaluate(written.module, x), atol=1e-6)


def test_a_detector_reads_back(tmp_path: Path) -> None:
    convolution = Floats(1, 3, 8, 8).build(lambda f: f.conv(f.x, 5, 1, "boxes"))
    written = replace(network(convolution), detector=Detector(((1.5, 2.0),), 0.3, 0.6))
    write_onnx(written, tmp_path / "net.onnx")
    assert load_onnx(tmp_path / "net.onnx").detector == written.detector


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    written = network(Floats(1, 3, 8, 8).build(small_residual))
    with pytest.raises(InputError, match="cannot be written"):
        write_onnx(written, tmp_path / "no" / "net.onnx")
