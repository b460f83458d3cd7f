"""``lcp-tvm board``."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lcp_tvm.board import build
from tests.board.agents import built_agent
from tests.cli.refused import outcome, refused

Capture = pytest.CaptureFixture[str]
CACHED_S = 5.0


def test_a_kit_needs_a_folder(tmp_path: Path, capfd: Capture) -> None:
    told = refused(capfd, "board", "build", "--board", "rpi4", "-o", tmp_path / "no" / "kit.tar.gz")
    assert "no/kit.tar.gz: its folder does not exist" in told


def test_a_board_that_nobody_knows(capfd: Capture) -> None:
    status, out, err = outcome(capfd, "board", "build", "--board", "pynq_z3")
    assert (status, out) == (2, "")
    assert "'pynq_z3' is not one of 'pynq_z1', 'pynq_z2', " in err


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    told = refused(capfd, "board", "build", "--board", "rpi4", "-o", tmp_path / "kit.tar.gz")
    assert f"cache {file}/lcp-tvm/agents/" in told
    assert "set XDG_CACHE_HOME to a folder that is writable" in told
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_compiler_that_fails_is_one_line(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_FLAGS", ("--no-such-flag",))
    told = refused(capfd, "board", "build", "--board", "rpi4", "-o", tmp_path / "kit.tar.gz")
    assert "ziglang failed (exit status 1)" in told
    assert not (tmp_path / "kit.tar.gz").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("armv7l")
def test_a_kit_and_what_is_said_of_it(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = built_agent("armv7l")
    monkeypatch.chdir(tmp_path)
    status, out, err = outcome(capfd, "board", "build", "--board", "pynq_z2", "--json")
    assert status == 0, err
    facts = json.loads(out)
    kit = tmp_path / "lcp-agent-pynq_z2.tar.gz"
    assert facts == {
        "file": kit.name,
        "board": "pynq_z2",
        "machine": "armv7l",
        "kit_bytes": kit.stat().st_size,
        "agent_bytes": agent.stat().st_size,
    }
    with tarfile.open(kit) as archive:
        packed = archive.extractfile("lcp-agent-pynq_z2/lcp-agent")
        assert packed is not None
        assert packed.read() == agent.read_bytes()


@pytest.mark.slow
@pytest.mark.xdist_group("armv7l")
def test_a_kit_comes_at_once_when_its_agent_is_there(tmp_path: Path) -> None:
    """In processor time, whatever else this machine does: TVM is not even loaded."""
    built_agent("armv7l")
    command = [sys.executable, "-m", "lcp_tvm.cli", "board", "build", "--board", "pynq_z1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-o", str(tmp_path / "kit.tar.gz")], check=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CACHED_S
