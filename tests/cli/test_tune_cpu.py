"""``lcp-tvm tune --target cpu`` and what ``compile`` does with its database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.measure import Bench
from lcp_tvm.cpu.processor import this_processor
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.package import read_package
from lcp_tvm.rpc.session import local_worker
from lcp_tvm.tunings import read_tunings
from tests.cli.refused import outcome, refused
from tests.cpu.float_nets import Layers, float_net

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def body(layers: Layers, x: relax.Var) -> relax.Expr:
        one = layers.biased(x, 16)
        return layers(R.nn.relu(layers.biased(layers.biased(one, 16), 16)))

    path = tmp_path_factory.mktemp("tune") / "net.onnx"
    onnx.save(to_onnx(float_net(body, (1, 3, 8, 8))), path)
    return path


def tuned(capfd: Capture, *arguments: object) -> dict[str, Any]:
    status, out, err = outcome(capfd, "tune", *arguments, "--budget", 0, "--json")
    assert (status, err) == (0, "")
    values: dict[str, Any] = json.loads(out)
    return values


def noise(folder: Path) -> Path:
    """Pictures to calibrate with."""
    pictures = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "pictures.npz", pictures)
    return folder / "pictures.npz"


@pytest.mark.parametrize("quantised", [False, True])
def test_a_model_is_tuned_and_compiled_with_that(
    quantised: bool, model: Path, tmp_path: Path, capfd: Capture
) -> None:
    database, package = tmp_path / "net.jsonl", tmp_path / "net.lcp"
    options = "--target", "cpu", *([f"--calibrate={noise(tmp_path)}"] if quantised else [])
    rows = tuned(capfd, model, *options, "--database", database)["layers"]
    assert [row["count"] for row in rows] == [1, 2]
    assert all(0 < row["after"]["us"] <= row["before"]["us"] for row in rows)
    assert all((row["layer"]["products"] != "float32") == quantised for row in rows)
    assert len(list(read_tunings(database).lines())) == 2
    arguments = ("compile", model, "-o", package, *options, "--tuned", database)
    assert outcome(capfd, *arguments)[0] == 0
    (told,) = (one for one in read_package(package).manifest.messages if "SHA-256" in one)
    assert told == (
        "3 of 3 convolutions on CPUs have kernels of the database with SHA-256 "
        + read_tunings(database).sha256
    )


def test_measures_on_a_worker(model: Path, tmp_path: Path, capfd: Capture) -> None:
    database = tmp_path / "net.jsonl"
    with local_worker() as (host, port):
        arguments = ("--target", "cpu", "--worker", f"{host}:{port}", "--database", database)
        tuned(capfd, model, *arguments)
    assert {line["for"]["processor"] for line in read_tunings(database).lines()} == {
        this_processor()
    }


def test_prints_every_layer_and_the_sum(
    model: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "measure", lambda *args: [1e-3] * len(args[2]))
    database = tmp_path / "net.jsonl"
    status, out, _ = outcome(capfd, "tune", model, "--target", "cpu", "--database", database)
    assert status == 0
    lines = out.splitlines()
    assert lines[1].split() == ["layer", "layers", "us", "before", "after", "gain", "choice"]
    assert lines[2].startswith("3x3 3 -> 16x8x8 ")
    assert lines[-2].split() == ["all", "3", "3,000", "3,000", "0.0%"]
    assert lines[-1] == f"wrote {database}; use it with 'lcp-tvm compile --tuned {database}'"


def test_what_does_not_run_here_wants_a_worker(model: Path, tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "tune", model, "--target", "arm:pynq", "--database", tmp_path / "x")
    assert line.endswith("does not run code for cortex-a9; give --worker HOST:PORT")


@pytest.mark.parametrize("option", ["--worker=board:9090", "--split=ftp:2x2"])
def test_options_of_a_cpu_do_not_go_with_vta(model: Path, option: str, capfd: Capture) -> None:
    told = "--split and --worker go with --target cpu or arm:BOARD"
    assert refused(capfd, "tune", model, option) == told


def test_tunes_branches(model: Path, tmp_path: Path, capfd: Capture) -> None:
    options = "--target", "cpu", "--split", "lcp:2", "--database", tmp_path / "net.jsonl"
    layers = [row["layer"] for row in tuned(capfd, model, *options)["layers"]]
    assert 8 in {layer["inputs"] for layer in layers}


def test_wants_a_model(tmp_path: Path, capfd: Capture) -> None:
    package = tmp_path / "net.lcp"
    package.write_bytes(b"")
    line = refused(capfd, "tune", package, "--target", "cpu")
    assert line == "--target cpu: give the model, not a package"


def test_tunes_one_cpu_at_a_time(model: Path, capfd: Capture) -> None:
    line = refused(capfd, "tune", model, "--target", "cpu,1=arm:rpi4")
    assert line.endswith("tune for one CPU at a time")
