"""Agents and designs onto boards, over SSH: installed whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncssh

from lcp_tvm.board.bitstream import Bitstream
from lcp_tvm.board.boards import Board
from lcp_tvm.board.ssh import Login, ask, connected, hand_over
from lcp_tvm.errors import WorkerError

_HOME = '"${DESTDIR:-}/opt/lcp-tvm"'


@dataclass(frozen=True, slots=True)
class Fact:
    """What a probe found; ``cure`` says what to do where something is missing."""

    name: str
    value: str
    cure: str


async def deploy(
    login: Login, board: Board, kit: bytes, options: Sequence[str], *, upgrade: bool
) -> str:
    """Install the agent on a board and start it.

    Parameters
    ----------
    kit : archive of `write_kit`.
    options : of lcp-agent; none keeps those of an agent that is replaced.
    upgrade : replace the agent that is there.

    Returns
    -------
    The version that runs there now.

    Raises
    ------
    WorkerError
        The board is not reached, is another machine, has an agent already or no room.
    """
    async with connected(login) as connection:
        machine = await _machine(connection)
        if machine != board.machine:
            raise WorkerError(
                f"{login.host}: is a {machine}, the kit is for {board.name}, a {board.machine}; "
                "choose another --board"
            )
        words = [*(["--upgrade"] if upgrade else []), *options]
        await hand_over(connection, login, kit, "install.sh", words)
        return await ask(connection, f"cat {_HOME}/VERSION")


async def remove(login: Login) -> str:
    """Take the agent off a board; its version, empty when there was none.

    Raises
    ------
    WorkerError
        The board is not reached, or the agent cannot be removed.
    """
    async with connected(login) as connection:
        version = await ask(connection, f"cat {_HOME}/VERSION")
        if version:
            await hand_over(connection, login, b"", "remove.sh")
        return version


async def program(login: Login, bitstream: Bitstream, name: str) -> None:
    """Load a design into a board's FPGA, and leave it there for the agent.

    Parameters
    ----------
    name : of the bitstream's file; a probe says it.

    Raises
    ------
    WorkerError
        The board is not reached, has no FPGA manager, or refuses the design.
    """
    async with connected(login) as connection:
        await hand_over(connection, login, bitstream.for_fpga_manager(), "program.sh", [name])


async def probe(login: Login) -> tuple[Fact, ...]:
    """Ask a board's agent what the board has and lacks.

    Raises
    ------
    WorkerError
        The board is not reached, or has no agent.
    """
    async with connected(login) as connection:
        if not await ask(connection, f"cat {_HOME}/VERSION"):
            raise WorkerError(f"{login.host}: has no agent; install it with 'lcp-tvm board deploy'")
        text = await hand_over(connection, login, b"", "probe.sh")
        try:
            return tuple(Fact(*(str(part) for part in fact)) for fact in json.loads(text))
        except (ValueError, TypeError) as error:
            raise WorkerError(
                f"{login.host}: its agent does not answer a probe; replace it with "
                "'lcp-tvm board deploy --upgrade'"
            ) from error


async def _machine(connection: asyncssh.SSHClientConnection) -> str:
    """What the programs of the board are for; its kernel may be wider."""
    machine = await ask(connection, "uname -m")
    bits = await ask(connection, "getconf LONG_BIT")
    return "armv7l" if machine == "aarch64" and bits == "32" else machine
