"""Agents onto boards and off them, designs into FPGAs, and what goes wrong on the way."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from lcp_tvm.board.bitstream import parse_bitstream
from lcp_tvm.board.boards import BOARDS
from lcp_tvm.board.deploy import Fact, deploy, probe, program, remove
from lcp_tvm.board.kit import pack_kit
from lcp_tvm.board.ssh import Login
from lcp_tvm.errors import WorkerError
from tests.board.ssh_server import SshBoard, on_board
from tests.board.test_bitstream import NAME, bit_file

BOARD = BOARDS["pynq_z1"]
AGENT = b"\x7fELF agent"
KIT = pack_kit(BOARD, AGENT)
MANAGER = "sys/class/fpga_manager/fpga0"


def is_a_pynq(board: SshBoard) -> None:
    board.put_program("uname", "echo armv7l")


def files_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def install(login: Login, *options: str, upgrade: bool = False, kit: bytes = KIT) -> str:
    return await deploy(login, BOARD, kit, options, upgrade=upgrade)


def test_an_agent_is_installed_with_its_options(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        found = await install(login, "--host", "0.0.0.0")
        assert found == version("lcp-tvm")
        assert (root / "opt/lcp-tvm/lcp-agent").read_bytes() == AGENT
        assert "--host 0.0.0.0" in (root / "opt/lcp-tvm/agent.conf").read_text()

    on_board(root, story)


def test_an_agent_that_is_there_is_replaced_only_when_told(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        await install(login, "--host", "0.0.0.0")
        (root / "opt/lcp-tvm/VERSION").write_text("0.0.1\n")
        with pytest.raises(WorkerError, match=r"has an agent of version 0\.0\.1 .*--upgrade"):
            await install(login)
        newer = pack_kit(BOARD, AGENT + b", newer")
        assert await install(login, upgrade=True, kit=newer) == version("lcp-tvm")
        assert (root / "opt/lcp-tvm/lcp-agent").read_bytes() == AGENT + b", newer"
        assert "--host 0.0.0.0" in (root / "opt/lcp-tvm/agent.conf").read_text()

    on_board(root, story)


def test_removing_leaves_nothing(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        before = files_in(root)
        await install(login)
        assert await remove(login) == version("lcp-tvm")
        assert files_in(root) - before <= {"tmp/lcp-tvm.lock"}
        assert await remove(login) == ""

    on_board(root, story)


def test_another_machine_is_refused(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        board.put_program("uname", "echo aarch64")
        with pytest.raises(WorkerError, match="is a aarch64, the kit is for pynq_z1, a armv7l"):
            await install(login)

    on_board(root, story)


def test_32_bit_programs_on_a_64_bit_kernel_are_told_apart(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        board.put_program("uname", "echo aarch64")
        board.put_program("getconf", "echo 32")
        await install(login)

    on_board(root, story)


def test_a_kit_for_what_does_not_run_there_changes_nothing(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        before = files_in(root)
        with pytest.raises(WorkerError):
            await install(login, kit=KIT[:-100])
        assert files_in(root) - before <= {"tmp/lcp-tvm.lock"}

    on_board(root, story)


def with_fpga_manager(root: Path, state: str = "operating") -> None:
    (root / MANAGER).mkdir(parents=True)
    for name, text in (("firmware", ""), ("flags", ""), ("state", f"{state}\n")):
        (root / MANAGER / name).write_text(text)


def test_a_design_is_loaded_and_stays_for_the_agent(root: Path) -> None:
    bitstream = parse_bitstream(bit_file())

    async def story(board: SshBoard, login: Login) -> None:
        with_fpga_manager(root)
        await program(login, bitstream, NAME)
        firmware = root / "lib/firmware"
        assert (firmware / "lcp-tvm-vta.bin").read_bytes() == bitstream.for_fpga_manager()
        assert (firmware / "lcp-tvm-vta.name").read_text() == f"{NAME}\n"
        assert (root / MANAGER / "firmware").read_text() == "lcp-tvm-vta.bin\n"
        assert (root / MANAGER / "flags").read_text() == "0\n"

    on_board(root, story)


def test_a_design_that_is_not_taken_is_not_called_loaded(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        with_fpga_manager(root, "write error")
        with pytest.raises(
            WorkerError, match="did not take the design: its state is 'write error'"
        ):
            await program(login, parse_bitstream(bit_file()), NAME)
        assert not (root / "lib/firmware/lcp-tvm-vta.name").exists()

    on_board(root, story)


def test_a_kernel_without_an_fpga_manager_is_named(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        with pytest.raises(WorkerError, match="no FPGA manager that loads files"):
            await program(login, parse_bitstream(bit_file()), NAME)

    on_board(root, story)


def test_a_probe_has_the_agents_options(root: Path) -> None:
    agent = b'#!/bin/sh\necho "[[\\"options\\", \\"$*\\", \\"\\"]]"\n'

    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        await install(login, kit=pack_kit(BOARD, agent))
        options = "--port 9090 --vta /opt/lcp-tvm/vta.json --board auto --probe"
        assert await probe(login) == (Fact("options", options, ""),)

    on_board(root, story)


def test_a_probe_needs_an_agent(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        with pytest.raises(
            WorkerError, match="has no agent; install it with 'lcp-tvm board deploy'"
        ):
            await probe(login)

    on_board(root, story)


def test_an_older_agent_that_knows_no_probe_is_named(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        is_a_pynq(board)
        await install(login, kit=pack_kit(BOARD, b"#!/bin/sh\necho hello\n"))
        with pytest.raises(WorkerError, match=r"does not answer a probe; .*--upgrade"):
            await probe(login)

    on_board(root, story)
