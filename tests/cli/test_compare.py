"""``lcp-tvm compare``: a row for every split, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.refused import outcome, refused

Capture = pytest.CaptureFixture[str]

CLUSTER = """
[[devices]]
kind = "rpi4"
count = 2
cores = 1

[network]
medium = "switched"
bandwidth_mbit = 1000
latency_ms = 0.2
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "two.toml"
    path.write_text(CLUSTER)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two convolutions and a dense layer on a picture of 64x64."""
    rng = np.random.default_rng(0)
    weights = {"w1": (32, 3, 3, 3), "w2": (32, 32, 3, 3), "w3": (32 * 64 * 64, 10)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("MatMul", ["f", "w3"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 10))],
        [
            numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_every_kind_of_split_has_a_row(model: Path, cluster: Path, capfd: Capture) -> None:
    status, out, _ = outcome(capfd, "compare", "--json", model, "--cluster", cluster)
    assert status == 0
    rows = {row["split"]: row for row in json.loads(out)["rows"]}
    kinds = {split.partition(":")[0] for split in rows}
    assert kinds == {"none", "replicate", "pipeline", "strips", "layers", "ftp", "lcp", "auto"}
    assert rows["none"]["speedup"] == 1
    assert rows["strips:2"]["speedup"] > 1.2
    assert rows["lcp:2"]["retrain"]
    (auto,) = (row for split, row in rows.items() if split.startswith("auto"))
    best = min(row["latency_ms"] for row in rows.values() if not row["retrain"])
    assert auto["latency_ms"] == best


def test_the_table_begins_with_the_unsplit_network(
    model: Path, cluster: Path, capfd: Capture
) -> None:
    status, out, _ = outcome(
        capfd, "compare", model, "--cluster", cluster, "--splits", "ftp:1x2,none"
    )
    assert status == 0
    assert "2 devices (modelled)" in out
    assert out.index("none") < out.index("ftp:1x2@2")


def test_a_split_that_the_network_does_not_allow_is_a_note(
    model: Path, cluster: Path, capfd: Capture
) -> None:
    status, out, err = outcome(
        capfd, "compare", model, "--cluster", cluster, "--splits", "strips:2,ftp:2x2@9"
    )
    assert status == 0
    assert "strips:2" in out
    assert "note: ftp:2x2@9: the network has no fuse depth 9; possible are 1, 2" in err


def test_a_picture_of_all_rows(model: Path, cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    picture = tmp_path / "all.svg"
    status, out, _ = outcome(
        capfd, "compare", model, "--cluster", cluster, "--splits", "strips:2", "--plot", picture
    )
    assert status == 0
    assert f"wrote {picture}" in out
    assert "strips:2" in picture.read_text()


def test_the_quantised_network_sends_fewer_bytes(
    model: Path, cluster: Path, capfd: Capture
) -> None:
    def megabytes(*options: str) -> float:
        arguments = ("compare", "--json", model, "--cluster", cluster, "--splits", "strips:2")
        _, out, _ = outcome(capfd, *arguments, *options)
        return float(json.loads(out)["rows"][1]["megabytes"])

    assert megabytes("--int8") < megabytes() / 2


def test_refusals(model: Path, cluster: Path, tmp_path: Path, capfd: Capture) -> None:
    known = ("compare", model, "--cluster", cluster)
    assert "no such split; did you mean strips" in refused(capfd, *known, "--splits", "strip:2")
    assert "ends in .png" in refused(capfd, *known, "--plot", tmp_path / "all.gif")
    assert "its folder does not exist" in refused(
        capfd, *known, "--plot", tmp_path / "no" / "a.png"
    )
    assert "cannot be read" in refused(capfd, "compare", model, "--cluster", tmp_path / "no.toml")
