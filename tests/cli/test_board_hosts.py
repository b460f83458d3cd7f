"""``lcp-tvm board deploy``, ``program`` and ``probe``: from the command line to boards and back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from lcp_tvm.board.boards import BOARDS
from lcp_tvm.board.kit import pack_kit
from lcp_tvm.cli import main
from tests.board.ssh_server import PASSWORD, USER, a_board
from tests.board.test_bitstream import NAME, bit_file
from tests.cli.refused import refused

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for a board, in a home whose known hosts are those of the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.ssh").mkdir(parents=True)
    return tmp_path / "board"


@contextmanager
def pynq(root: Path) -> Iterator[list[str]]:
    """Serve a PYNQ; what the command line says to reach it."""
    port: Future[int] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with a_board(root) as (board, login):
            board.put_program("uname", "echo armv7l")
            port.set_result(login.port)
            while not over.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ["127.0.0.1", "--ssh-port", str(port.result(30)), "--user", USER, "--ask-password"]
    finally:
        over.set()
        thread.join()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type the password when asked for it."""
    monkeypatch.setattr("click.prompt", lambda *_, **__: PASSWORD)


def test_an_agent_goes_there_and_back(root: Path, tmp_path: Path, capsys: Capture) -> None:
    kit = tmp_path / "kit.tar.gz"
    kit.write_bytes(
        pack_kit(BOARDS["pynq_z1"], b'#!/bin/sh\necho "[[\\"kernel\\",\\"5\\",\\"\\"]]"\n')
    )
    ours = version("lcp-tvm")
    with pynq(root) as host:
        deploy = ["board", "deploy", *host, "--board", "pynq_z1", "--kit", str(kit)]
        assert main([*deploy, "--listen", "0.0.0.0", "--tracker", "pc:9190"]) == 0
        assert capsys.readouterr().out == f"127.0.0.1: runs lcp-agent {ours}\n"
        options = (root / "opt/lcp-tvm/agent.conf").read_text()
        assert "--host 0.0.0.0 --tracker pc:9190" in options
        assert main([*deploy, "--upgrade", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"127.0.0.1": {"runs": ours}}
        assert main(["board", "probe", *host, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)["127.0.0.1"]
        assert facts == [{"name": "kernel", "value": "5", "cure": ""}]
        assert main(["board", "probe", *host]) == 0
        assert "kernel" in capsys.readouterr().out
        assert main(["board", "deploy", *host, "--remove"]) == 0
        assert capsys.readouterr().out == f"127.0.0.1: removed lcp-agent {ours}\n"


def test_a_design_goes_there(root: Path, tmp_path: Path, capsys: Capture) -> None:
    manager = root / "sys/class/fpga_manager/fpga0"
    (tmp_path / NAME).write_bytes(bit_file())
    with pynq(root) as host:
        manager.mkdir(parents=True)
        for name, text in (("firmware", ""), ("flags", ""), ("state", "operating\n")):
            (manager / name).write_text(text)
        words = ["--board", "pynq_z1", "--bitstream", str(tmp_path / NAME)]
        assert main(["board", "program", *host, *words]) == 0
    assert f"127.0.0.1: loaded {NAME} for the 7z020clg400" in capsys.readouterr().out


def test_a_bitstream_for_another_board_never_leaves(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / NAME).write_bytes(bit_file("xczu3eg-sbva484-1-e"))
    words = ["--board", "pynq_z1", "--bitstream", str(tmp_path / NAME)]
    assert "have a 7z020" in refused(capsys, "board", "program", "nowhere.invalid", *words)


def test_a_board_without_an_fpga(tmp_path: Path, capsys: Capture) -> None:
    words = ["--board", "rpi4", "--bitstream", str(tmp_path / NAME)]
    assert "has no FPGA" in refused(capsys, "board", "program", "nowhere.invalid", *words)


def test_all_boards_that_fail_are_named(capsys: Capture) -> None:
    hosts = ["127.0.0.1", "localhost"]
    line = refused(capsys, "board", "probe", *hosts, "--ssh-port", "1")
    for host in hosts:
        assert f"{host}: SSH on port 1 does not answer" in line


def test_a_board_named_twice(capsys: Capture) -> None:
    assert "named twice" in refused(capsys, "board", "probe", "a", "a")


def test_deploying_needs_to_know_the_board(capsys: Capture) -> None:
    assert "--board pynq_z1" in refused(capsys, "board", "deploy", "a")


def test_a_kit_that_is_not_there(capsys: Capture) -> None:
    words = ["--board", "rpi4", "--kit", "/nowhere/kit.tar.gz"]
    assert "kit.tar.gz: cannot be read" in refused(capsys, "board", "deploy", "a", *words)
