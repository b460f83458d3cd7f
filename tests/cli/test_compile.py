"""``lcp-tvm compile``: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from lcp_tvm.package import read_package
from tests.cli.refused import files_in, outcome, refused
from tests.example import CALIBRATION, MODEL

Capture = pytest.CaptureFixture[str]


def test_prints_the_summary_and_writes_the_package(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "net.lcp"
    status, out, err = outcome(capfd, "compile", MODEL, "-o", path, "--calibrate", CALIBRATION)
    assert status == 0, err
    assert files_in(tmp_path) == ["net.lcp"]
    assert read_package(path).manifest.target == "vta:pynq_z1"
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "Signal over quantisation noise (the worst 5 of 8)"
    assert "What runs where" in lines
    assert any(line.startswith("simulated on pynq_z1 at 100 MHz: ") for line in lines)
    assert lines[-1] == f"wrote {path}"


def test_json_is_one_document(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "net.lcp"
    status, out, _ = outcome(capfd, "compile", MODEL, "-o", path, "--target", "cpu", "--json")
    assert status == 0
    values = json.loads(out)
    assert values["file"] == str(path)
    assert values["target"] == "cpu"
    assert values["total"] is None


def test_a_file_that_is_not_onnx(tmp_path: Path, capfd: Capture) -> None:
    model = tmp_path / "net.onnx"
    model.write_text("this is no model")
    line = refused(capfd, "compile", model, "-o", tmp_path / "net.lcp")
    assert str(model) in line
    assert files_in(tmp_path) == ["net.onnx"]


def test_a_truncated_model(tmp_path: Path, capfd: Capture) -> None:
    model = tmp_path / "net.onnx"
    data = MODEL.read_bytes()
    model.write_bytes(data[: len(data) // 2])
    line = refused(capfd, "compile", model, "-o", tmp_path / "net.lcp")
    assert str(model) in line
    assert files_in(tmp_path) == ["net.onnx"]


def test_a_missing_model(tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "compile", tmp_path / "no.onnx", "-o", tmp_path / "net.lcp")
    assert str(tmp_path / "no.onnx") in line
    assert files_in(tmp_path) == []


def test_an_operator_that_nothing_can_run(tmp_path: Path, capfd: Capture) -> None:
    model = tmp_path / "net.onnx"
    helper = onnx.helper
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Bogosort", ["x"], ["y"], domain="org.example")],
        "net",
        [info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), model)
    line = refused(capfd, "compile", model, "-o", tmp_path / "net.lcp")
    assert "Bogosort" in line
    assert files_in(tmp_path) == ["net.onnx"]


def test_calibration_data_of_the_wrong_shape(tmp_path: Path, capfd: Capture) -> None:
    data = tmp_path / "inputs.npz"
    np.savez(data, np.zeros((4, 3, 32, 32), np.float32))
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--calibrate", data)
    assert "[4, 3, 32, 32]" in line
    assert "[N, 1, 32, 32]" in line
    assert files_in(tmp_path) == ["inputs.npz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_calibration_data_that_is_no_npz(tmp_path: Path, capfd: Capture, content: bytes) -> None:
    data = tmp_path / "inputs.npz"
    data.write_bytes(content)
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--calibrate", data)
    assert str(data) in line


def test_a_calibration_folder_without_pictures(tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "empty").mkdir()
    line = refused(
        capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--calibrate", tmp_path / "empty"
    )
    assert "no pictures" in line
    assert files_in(tmp_path) == ["empty"]


def test_a_calibration_picture_that_is_not_one(tmp_path: Path, capfd: Capture) -> None:
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    picture.write_text("no picture")
    line = refused(
        capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--calibrate", picture.parent
    )
    assert str(picture) in line


@pytest.mark.parametrize(
    ("target", "told"),
    [("vta:pynq_z9", "did you mean vta:pynq_z"), ("gpu", "Targets:"), ("arm:rpi", "arm:rpi3")],
)
def test_an_unknown_target(tmp_path: Path, capfd: Capture, target: str, told: str) -> None:
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--target", target)
    assert told in line
    assert files_in(tmp_path) == []


def test_a_wrong_vta_config(tmp_path: Path, capfd: Capture) -> None:
    config = tmp_path / "board.json"
    config.write_text('{"TARGET": "pynq", "LOG_BLOK": 4}')
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "n.lcp", "--target", f"vta:{config}")
    assert "'LOG_BLOK'" in line
    assert files_in(tmp_path) == ["board.json"]


def test_preprocessing_that_does_not_fit(tmp_path: Path, capfd: Capture) -> None:
    table = tmp_path / "net.toml"
    table.write_text("size = [28, 28]\nchannels = 'L'\n")
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--preprocess", table)
    assert "[28, 28]" in line


def test_labels_that_are_not_there(tmp_path: Path, capfd: Capture) -> None:
    labels = tmp_path / "labels.txt"
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", "--labels", labels)
    assert str(labels) in line


def test_a_folder_that_is_not_there(tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "no" / "net.lcp")
    assert "its folder does not exist" in line
    assert files_in(tmp_path) == []


def test_a_failed_compile_keeps_the_old_package(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "net.lcp"
    path.write_text("old")
    refused(capfd, "compile", tmp_path / "no.onnx", "-o", path)
    assert path.read_text() == "old"
