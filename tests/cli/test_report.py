"""``lcp-tvm report``: tables or JSON, and packages that are none."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lcp_tvm.manifest import FORMAT
from lcp_tvm.package import MANIFEST, write_package
from tests.cli.refused import outcome, refused
from tests.packages import a_package, a_split_compiled

Capture = pytest.CaptureFixture[str]
COMMANDS = (("report",), ("run", "x.png"), ("dump", "out"))


def test_prints_all_tables(tmp_path: Path, capfd: Capture) -> None:
    status, out, err = outcome(capfd, "report", a_package(tmp_path).path)
    assert (status, err) == (0, "")
    titles = [line.rstrip() for line in out.splitlines()]
    for title in ("What runs where", "Simulated at 100 MHz", "Memory map"):
        assert title in titles


def test_json_is_one_document(tmp_path: Path, capfd: Capture) -> None:
    status, out, err = outcome(capfd, "report", "--json", a_package(tmp_path).path)
    assert (status, err) == (0, "")
    assert json.loads(out)["name"] == "tiny"


@pytest.mark.parametrize("name", ["plan.svg", "plan.png"])
def test_draws_the_plan(tmp_path: Path, capfd: Capture, name: str) -> None:
    package = write_package(a_split_compiled(), tmp_path / "split.lcp")
    status, out, err = outcome(capfd, "report", package.path, "--graph", tmp_path / name)
    assert (status, out, err) == (0, f"wrote {tmp_path / name}\n", "")
    assert (tmp_path / name).read_bytes()[:5] in (b"<?xml", b"\x89PNG\r")


def test_draws_the_roofline(tmp_path: Path, capfd: Capture) -> None:
    package, picture = a_package(tmp_path), tmp_path / "roof.png"
    assert outcome(capfd, "report", package.path, "--plot", picture) == (
        0,
        f"wrote {picture}\n",
        "",
    )
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "why"), [("a.txt", "ends in .png"), ("no/a.png", "folder")])
def test_a_picture_of_a_name_that_will_not_do(
    tmp_path: Path, capfd: Capture, name: str, why: str
) -> None:
    line = refused(capfd, "report", a_package(tmp_path).path, "--plot", tmp_path / name)
    assert why in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_package(tmp_path: Path, capfd: Capture, command: tuple[str, ...]) -> None:
    line = refused(capfd, command[0], tmp_path / "no.lcp", *command[1:])
    assert line.startswith(f"{tmp_path / 'no.lcp'}: cannot be read")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_corrupt_package(tmp_path: Path, capfd: Capture, command: tuple[str, ...]) -> None:
    path = a_package(tmp_path).path
    path.write_bytes(path.read_bytes()[:-100])
    line = refused(capfd, command[0], path, *command[1:])
    assert line.startswith(f"{path}: ")
    assert "lcp-tvm compile" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_package(tmp_path: Path, capfd: Capture, command: tuple[str, ...]) -> None:
    path = a_package(tmp_path).path
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    values = json.loads(entries[MANIFEST]) | {"format": FORMAT + 1}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (entries | {MANIFEST: json.dumps(values).encode()}).items():
            archive.writestr(name, data)
    line = refused(capfd, command[0], path, *command[1:])
    assert f"format {FORMAT + 1} is newer" in line
    assert "update lcp-tvm" in line


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """``lcp-tvm report net.lcp | head -0`` prints no traceback."""
    command = [sys.executable, "-m", "lcp_tvm.cli", "report", str(a_package(tmp_path).path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert error == b""
