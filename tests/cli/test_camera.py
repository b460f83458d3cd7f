"""``lcp-tvm camera``: what it refuses, what it writes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import psutil
import pytest

from lcp_tvm.cli import main
from tests.cli.refused import outcome
from tests.rpc.split_packages import split_package

Capture = pytest.CaptureFixture[str]
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network split into four tiles for two boards."""
    return split_package("ftp:2x2@2", tmp_path_factory.mktemp("net")).path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.lcp"], "nothing.lcp"),
        (["NET", "--source", "nothing"], "nothing: no such file or folder; a source is one of"),
        (["NET", "NET"], "another package is split ftp:2x2@3 as well"),
        (["NET", "--workers", "0"], "--workers 0: from 1 to 64 are started here"),
        (["NET", "--workers", "127.0.0.1:1"], "nothing listens there"),
        (["NET", "--workers", "a:1", "--cluster", "b"], "both say where workers are"),
        (["NET", "--record", "out.avi"], "a film's name ends in .mp4"),
        (["NET", "--json-log", "nowhere/log"], "cannot be written"),
    ],
)
def test_what_it_refuses(capfd: Capture, package: Path, arguments: list[str], message: str) -> None:
    found = [str(package) if argument == "NET" else argument for argument in arguments]
    status, _, err = outcome(capfd, "camera", *found)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert message in err


def test_it_ends_after_so_many_answers_with_a_film_and_a_log(
    capfd: Capture, package: Path, tmp_path: Path
) -> None:
    film, log = tmp_path / "out.mp4", tmp_path / "log.jsonl"
    written = ["--record", str(film), "--json-log", str(log)]
    status, out, _ = outcome(
        capfd, "camera", str(package), "--frames", "20", "--port", "0", *written
    )
    assert status == 0
    page, summary = out.splitlines()
    assert page.startswith("page: http://127.0.0.1:")
    assert summary.startswith("answered 20 frames, ")
    assert summary.endswith("failed 0")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["split"] for row in rows] == ["ftp:2x2@3"] * 20
    numbers = [row["number"] for row in rows]
    assert numbers == sorted(set(numbers))
    assert film.stat().st_size > 1000


def test_ctrl_c_ends_it_and_its_workers(package: Path) -> None:
    command = [sys.executable, "-m", "lcp_tvm.cli", "camera", str(package), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        page = process.stdout.readline().removeprefix("page: ").strip()
        family = psutil.Process(process.pid).children(recursive=True)
        names = Counter(child.name() for child in family)
        assert names["lcp-agent"] > 4
        with urllib.request.urlopen(f"{page}api/state", timeout=TIMEOUT_S) as reply:
            state = json.load(reply)
        assert [board["name"] for board in state["boards"]] == [
            "edge-0", "edge-1", "edge-2", "edge-3", "gateway"
        ]  # fmt: skip
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("answered ")
    _, alive = psutil.wait_procs(family, timeout=TIMEOUT_S)
    assert not alive


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--help"]) == 0
    text = capsys.readouterr().out
    assert "lcp-tvm camera net.lcp --source camera:0" in text
