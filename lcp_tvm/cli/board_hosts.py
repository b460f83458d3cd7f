"""``lcp-tvm board deploy``, ``program`` and ``probe``: boards over SSH."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.table import Table

from lcp_tvm.board.boards import BOARDS
from lcp_tvm.cli.board import agent_for
from lcp_tvm.cli.options import FILE, Decorated, debug_option, json_option
from lcp_tvm.cli.output import print_json, stdout_console
from lcp_tvm.errors import InputError, LcpError, WorkerError

if TYPE_CHECKING:
    from lcp_tvm.board.deploy import Fact
    from lcp_tvm.board.ssh import Login

Result = TypeVar("Result")


def _hosts(function: Decorated) -> Decorated:
    """Add ``HOST...`` and how to log in there."""
    for option in (
        click.option(
            "--ask-password", is_flag=True,
            help="Ask for the password, for SSH without a key and for sudo.",
        ),
        click.option(
            "--ssh-port", type=click.IntRange(1, 65535), default=22, show_default=True,
            help="Port of its SSH server.",
        ),
        click.option(
            "--user", default="xilinx", show_default=True, help="Who to be there; may use sudo."
        ),
        click.argument("hosts", metavar="HOST...", nargs=-1, required=True),
    ):  # fmt: skip
        function = option(function)
    return function


def _board(*, required: bool) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--board", "name", type=click.Choice(list(BOARDS)), required=required, help="What it is."
    )


@click.command("deploy")
@_hosts
@_board(required=False)
@click.option("--kit", metavar="KIT.tar.gz", type=FILE, help="Kit of `board build`, if not new.")
@click.option("--listen", metavar="ADDRESS", help="Where it listens.  [default: 127.0.0.1]")
@click.option("--tracker", metavar="HOST:PORT", help="Tracker that it registers with.")
@click.option("--upgrade", is_flag=True, help="Replace the agent that is there.")
@click.option("--remove", is_flag=True, help="Take the agent and what it holds off the board.")
@json_option
@debug_option
def deploy_command(
    hosts: tuple[str, ...], user: str, ssh_port: int, ask_password: bool, name: str | None,
    kit: Path | None, listen: str | None, tracker: str | None, upgrade: bool, remove: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Install the agent on boards and start it, over SSH.

    It is installed whole or not at all, and started as a service on port 9090. Without --listen
    it can be reached on the board alone: TVM RPC has no password, and who reaches the port can
    run code there. An upgrade keeps the agent's options unless new ones are said.

    \b
    Examples:
      lcp-tvm board deploy 192.168.2.99 --board pynq_z1 --ask-password --listen 0.0.0.0
      lcp-tvm board deploy pi1 pi2 pi3 --board rpi4 --user pi --listen 0.0.0.0 --upgrade
      lcp-tvm board deploy 192.168.2.99 --remove
    """
    from lcp_tvm.board import deploy
    from lcp_tvm.board.kit import pack_kit

    logins = _logins(hosts, user, ssh_port, ask_password)
    if remove:
        versions = _each(logins, deploy.remove)
        _print_versions(versions, "removed", as_json)
        return
    if name is None:
        raise InputError("--board: say what the boards are, for example --board pynq_z1")
    archive = _read(kit) if kit is not None else pack_kit(BOARDS[name], agent_for(name))
    options: list[str] = []
    for option, value in (("--host", listen), ("--tracker", tracker)):
        if value is not None:
            options += [option, value]
    board = BOARDS[name]
    versions = _each(
        logins, lambda login: deploy.deploy(login, board, archive, options, upgrade=upgrade)
    )
    _print_versions(versions, "runs", as_json)


@click.command("program")
@_hosts
@_board(required=True)
@click.option("--bitstream", metavar="FILE.bit", type=FILE, required=True, help="VTA's design.")
@json_option
@debug_option
def program_command(
    hosts: tuple[str, ...], user: str, ssh_port: int, ask_password: bool, name: str,
    bitstream: Path, as_json: bool,
) -> None:  # fmt: skip
    """Load a bitstream of VTA into boards' FPGAs, over SSH.

    Its part number and the parameters in its name must be those of the board's VTA config. It
    stays on the board, where the agent loads it anew when the accelerator hangs.

    \b
    Example:
      lcp-tvm board program 192.168.2.99 --board pynq_z1 --bitstream 1x16_i8w8a32_15_15_18_17.bit
    """
    from lcp_tvm.board.bitstream import check_bitstream, read_bitstream
    from lcp_tvm.board.deploy import program
    from lcp_tvm.vta.config import load_config

    config = BOARDS[name].vta
    if config is None:
        raise InputError(f"--board {name}: has no FPGA")
    design = read_bitstream(bitstream)
    check_bitstream(bitstream.name, design, load_config(config))
    logins = _logins(hosts, user, ssh_port, ask_password)
    _each(logins, lambda login: program(login, design, bitstream.name))
    if as_json:
        facts = {"bitstream": bitstream.name, "part": design.part, "made": design.date}
        print_json({login.host: facts for login in logins})
        return
    for login in logins:
        click.echo(
            f"{login.host}: loaded {bitstream.name} for the {design.part}, "
            f"made {design.date} {design.time}"
        )


@click.command("probe")
@_hosts
@json_option
@debug_option
def probe_command(
    hosts: tuple[str, ...], user: str, ssh_port: int, ask_password: bool, as_json: bool
) -> None:
    """Say what boards have and lack, and what cures each lack.

    The agent must be installed. Where there is a VTA it runs a small program on it, beside the
    simulator, and compares every bit; it must not serve a client meanwhile.

    \b
    Example:
      lcp-tvm board probe 192.168.2.99
    """
    from lcp_tvm.board.deploy import probe

    found = _each(_logins(hosts, user, ssh_port, ask_password), probe)
    if as_json:
        print_json({host: [asdict(fact) for fact in facts] for host, facts in found.items()})
        return
    for host, facts in found.items():
        stdout_console().print(_table(host, facts))


def _table(host: str, facts: Sequence[Fact]) -> Table:
    table = Table(title=host, title_justify="left")
    for column in ("", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for fact in facts:
        table.add_row(fact.name, fact.value, fact.cure or "-")
    return table


def _logins(hosts: Sequence[str], user: str, port: int, ask_password: bool) -> list[Login]:
    from lcp_tvm.board.ssh import Login

    if len(set(hosts)) < len(hosts):
        raise InputError("a board is named twice")
    password = click.prompt(f"password of {user}", hide_input=True) if ask_password else None
    return [Login(host, user, port, password) for host in hosts]


def _each(
    logins: Sequence[Login], action: Callable[[Login], Awaitable[Result]]
) -> dict[str, Result]:
    """Do it on all boards at once; what became of each, or one error that names the failures."""

    async def gather() -> list[Result | BaseException]:
        return await asyncio.gather(*map(action, logins), return_exceptions=True)

    outcomes = asyncio.run(gather())
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, LcpError):
            raise outcome
    failures = [str(outcome) for outcome in outcomes if isinstance(outcome, LcpError)]
    if failures:
        raise WorkerError("; ".join(failures))
    return dict(zip((login.host for login in logins), outcomes, strict=True))  # type: ignore[arg-type]


def _print_versions(versions: dict[str, str], word: str, as_json: bool) -> None:
    if as_json:
        answer: dict[str, Any] = {host: {word: version} for host, version in versions.items()}
        print_json(answer)
        return
    for host, version in versions.items():
        click.echo(f"{host}: {f'{word} lcp-agent {version}' if version else 'had no agent'}")


def _read(kit: Path) -> bytes:
    try:
        return kit.read_bytes()
    except OSError as error:
        raise InputError(f"kit {kit}: cannot be read ({error.strerror})") from error
