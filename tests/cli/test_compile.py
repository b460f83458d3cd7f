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


def test_a_split_network_prints_its_functions_and_devices(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "net.lcp"
    args = ("--split", "ftp:1x2@2", "--calibrate", CALIBRATION)
    status, out, err = outcome(capfd, "compile", MODEL, "-o", path, *args)
    assert status == 0, err
    lines = [line.rstrip() for line in out.splitlines()]
    assert "Functions of split ftp:1x2@2" in lines
    devices = lines[lines.index("Devices of split ftp:1x2@2") + 2 :]
    assert [line.split()[:2] for line in devices[:3]] == [
        ["gateway", "1"],
        ["any", "2"],
        ["all", "3"],
    ]
    assert "ms a frame" in lines[-2]
    plan = read_package(path).plan()
    assert plan.split == "ftp:1x2@2"
    assert all("pynq_z1" in function.measured_ms for function in plan.functions.values())


def test_json_of_a_split_network_has_the_plan(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "net.lcp"
    args = ("--split", "pipeline:2", "--target", "cpu", "--json")
    status, out, _ = outcome(capfd, "compile", MODEL, "-o", path, *args)
    assert status == 0
    plan = json.loads(out)["plan"]
    assert [row["device"] for row in plan["by_device"]] == ["0", "1"]
    assert [row["tasks"] for row in plan["functions"]] == [1, 1]


def test_frames_together_take_less_each(tmp_path: Path, capfd: Capture) -> None:
    found = []
    for frames in (1, 4):
        path = tmp_path / f"net_{frames}.lcp"
        args = ("--calibrate", CALIBRATION, "--batch-frames", frames)
        status, out, err = outcome(capfd, "compile", MODEL, "-o", path, *args)
        assert status == 0, err
        assert read_package(path).manifest.input_shape == (frames, 1, 32, 32)
        assert read_package(path).plan().batch == frames
        found += [line for line in out.splitlines() if line.startswith("simulated on")]
    alone, together = (float(line.split(":")[1].split(" ms a frame")[0]) for line in found)
    assert together < alone
    assert " ms a frame, 4 together, " in found[1]


def test_devices_have_their_own_targets(tmp_path: Path, capfd: Capture) -> None:
    """Tiles for VTA boards, the head for a Raspberry Pi; both fit on a PC without boards."""
    path = tmp_path / "net.lcp"
    args = ("--split", "ftp:1x2@2", "--target", "vta,gateway=arm:rpi4", "--calibrate", CALIBRATION)
    status, _, err = outcome(capfd, "compile", MODEL, "-o", path, *args)
    assert status == 0, err
    modules = read_package(path).manifest.modules
    assert {name: module.target for name, module in modules.items()} == {
        "anywhere": "vta:pynq_z1",
        "anywhere-arm_rpi4": "arm:rpi4",
        "head": "arm:rpi4",
    }
    assert modules["anywhere"].vta is not None
    assert modules["head"].vta is None


def test_lcp_branches_are_also_a_model_to_train(tmp_path: Path, capfd: Capture) -> None:
    """The model comes back as the branches it is, with what belongs to it."""
    path, model = tmp_path / "net.lcp", tmp_path / "branches.onnx"
    args = ("--split", "lcp:2+40%", "--calibrate", CALIBRATION, "--export-onnx", model)
    status, out, err = outcome(capfd, "compile", MODEL, "-o", path, *args)
    assert status == 0, err
    assert out.splitlines()[-2:] == [f"wrote {path}", f"wrote {model}"]
    assert "train them" in err
    package = read_package(path)
    assert [task.name for task in package.plan().tasks] == ["branch_0", "branch_1", "head"]
    assert package.plan().split == "lcp:2+40%"

    again = tmp_path / "again.lcp"
    args = ("--split", "lcp:2", "--calibrate", CALIBRATION)
    status, _, err = outcome(capfd, "compile", model, "-o", again, *args)
    assert status == 0, err
    assert "train them" not in err
    trained = read_package(again)
    assert trained.manifest.labels == package.manifest.labels
    assert trained.manifest.picture == package.manifest.picture
    for name, function in trained.plan().functions.items():
        assert function.cost == package.plan().functions[name].cost


def test_auto_splits_for_a_cluster(tmp_path: Path, capfd: Capture) -> None:
    path, cluster = tmp_path / "net.lcp", tmp_path / "two.toml"
    cluster.write_text(
        "[[devices]]\nkind = 'rpi3'\ncount = 2\n\n"
        "[network]\nmedium = 'switched'\nbandwidth_mbit = 1000\nlatency_ms = 0.1\n"
    )
    args = ("--split", "auto", "--cluster", cluster, "--target", "cpu", "--minimise", "throughput")
    status, _, err = outcome(capfd, "compile", MODEL, "-o", path, *args)
    assert status == 0, err
    plan = read_package(path).plan()
    assert plan.devices * plan.replicas == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--split", "ftp:3"), "did you mean ftp:RxC"),
        (("--split", "auto"), "give it with --cluster"),
        (("--split", "none", "--cluster", "x.toml"), "go with --split auto"),
        (("--split", "none", "--minimise", "memory"), "go with --split auto"),
        (("--split", "none", "--export-onnx", "x.onnx"), "goes with --split lcp:N"),
        (("--split", "auto", "--cluster", "no.toml"), "no.toml: cannot be read"),
        (("--split", "ftp:2x2@99", "--target", "cpu"), "no fuse depth 99; possible are"),
        (("--split", "lcp:4+301%", "--target", "cpu"), "branches must be narrower"),
        (("--target", "cpu,1=arm:rpi3"), "there is no device 1"),
        (("--target", "cpu,x=arm:rpi3"), "'x=arm:rpi3' is not DEVICE=TARGET"),
    ],
)
def test_a_split_that_cannot_be(
    tmp_path: Path, capfd: Capture, args: tuple[str, ...], told: str
) -> None:
    args = args if "--target" in args else (*args, "--target", "cpu")
    line = refused(capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", *args)
    assert told in line
    assert files_in(tmp_path) == []


def test_a_model_with_other_branches(tmp_path: Path, capfd: Capture) -> None:
    model = tmp_path / "branches.onnx"
    args = ("--split", "lcp:2", "--target", "cpu")
    status, _, err = outcome(
        capfd, "compile", MODEL, "-o", tmp_path / "net.lcp", *args, "--export-onnx", model
    )
    assert status == 0, err
    args = ("--split", "lcp:4", "--target", "cpu")
    line = refused(capfd, "compile", model, "-o", tmp_path / "x.lcp", *args)
    assert "the model has 2 branches already; say lcp:2" in line


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
