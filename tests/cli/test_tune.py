"""``lcp-tvm tune`` and ``compile --tuned``: a database between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcp_tvm.package import read_package, write_package
from lcp_tvm.tunings import read_tunings
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.tunings import vta_tunings
from tests.cli.refused import outcome, refused
from tests.example import CALIBRATION, MODEL
from tests.packages import a_cpu_compiled, a_package

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lcp_tvm.cli.compile import compile_file

    path = tmp_path_factory.mktemp("tune") / "fashion.lcp"
    compile_file(MODEL, path, "vta", calibrate=CALIBRATION)
    return path


def tuned(capfd: Capture, package: Path, database: Path) -> dict[str, object]:
    status, out, err = outcome(
        capfd, "tune", package, "--budget", 0, "--database", database, "--json"
    )
    assert (status, err) == (0, "")
    values: dict[str, object] = json.loads(out)
    return values


def test_a_package_is_tuned_and_its_model_compiled_with_that(
    package: Path, tmp_path: Path, capfd: Capture
) -> None:
    database, again = tmp_path / "net.jsonl", tmp_path / "again.lcp"
    values = tuned(capfd, package, database)
    layers = values["layers"]
    assert isinstance(layers, list)
    assert all(row["after"]["cycles"] <= row["before"]["cycles"] for row in layers)
    count = len(vta_tunings(read_tunings(database), load_config("pynq_z1")))
    assert count == len(layers)
    status, _, err = outcome(
        capfd,
        *("compile", MODEL, "-o", again, "--calibrate", CALIBRATION, "--tuned", database),
    )
    names = sum(len(row["names"]) for row in layers)
    told = f"{names} of {names} VTA layers have tilings of the database with SHA-256 "
    told += read_tunings(database).sha256
    assert status == 0
    assert f"note: {told}\n" in err
    assert told in read_package(again).manifest.messages


def test_prints_every_layer_and_the_sum(package: Path, tmp_path: Path, capfd: Capture) -> None:
    database = tmp_path / "net.jsonl"
    status, out, err = outcome(capfd, "tune", package, "--budget", 0, "--database", database)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split() == ["layer", "layers", "cycles", "before", "after", "gain", "ms"]
    assert lines[-2].startswith("all ")
    assert lines[-1] == f"wrote {database}; use it with 'lcp-tvm compile --tuned {database}'"


def test_the_users_own_database(
    package: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert outcome(capfd, "tune", package, "--budget", 0)[0] == 0
    assert read_tunings(tmp_path / "data" / "lcp-tvm" / "vta_tilings.jsonl").text


def test_a_corrupt_database(package: Path, tmp_path: Path, capfd: Capture) -> None:
    database = tmp_path / "net.jsonl"
    database.write_text("nonsense\n")
    told = f"{database}: line 1 is no tuning; delete the line, or the file"
    assert refused(capfd, "tune", package, "--database", database) == told
    assert refused(capfd, "compile", MODEL, "-o", tmp_path / "x", "--tuned", database) == told


def test_options_of_a_model_do_not_go_with_a_package(tmp_path: Path, capfd: Capture) -> None:
    path = a_package(tmp_path).path
    line = refused(capfd, "tune", path, "--target", "vta", "--database", tmp_path / "x")
    assert line == f"{path}: --target and --calibrate go with a model, not a package"


def test_a_package_without_vta_layers(tmp_path: Path, capfd: Capture) -> None:
    path = write_package(a_cpu_compiled(), tmp_path / "cpu.lcp").path
    line = refused(capfd, "tune", path, "--database", tmp_path / "x")
    assert line.startswith(f"{path}: no layer that can be tuned runs on a VTA, or an older")


def test_a_folder_that_is_not_there(package: Path, tmp_path: Path, capfd: Capture) -> None:
    line = refused(capfd, "tune", package, "--budget", 0, "--database", tmp_path / "no" / "x")
    assert "cannot be written" in line
