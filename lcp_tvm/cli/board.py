"""``lcp-tvm board``: boards and what they need."""

from __future__ import annotations

from pathlib import Path

import click

from lcp_tvm.board.boards import BOARDS
from lcp_tvm.cli.options import FILE, debug_option, json_option
from lcp_tvm.cli.output import ProgressBar, print_json
from lcp_tvm.errors import InputError


@click.group("board")
@debug_option
def board_command() -> None:
    """Make boards into workers."""


@board_command.command("build")
@click.option(
    "--board", "name", type=click.Choice(list(BOARDS)), required=True, help="What it is for."
)
@click.option(
    "-o", "--output", metavar="KIT.tar.gz", type=FILE,
    help="File to write.  [default: lcp-agent-BOARD.tar.gz]",
)  # fmt: skip
@json_option
@debug_option
def build_command(name: str, output: Path | None, as_json: bool) -> None:
    """Make the kit that turns a board into a worker.

    It holds the agent, one executable for the board's processor, and scripts that install it as a
    service and remove it. Nothing is needed but what pip has installed here. The first kit for a
    processor takes some minutes; later ones take the agent from ~/.cache/lcp-tvm.

    \b
    Examples:
      lcp-tvm board build --board pynq_z1
      scp lcp-agent-pynq_z1.tar.gz xilinx@BOARD:
      ssh xilinx@BOARD tar xzf lcp-agent-pynq_z1.tar.gz
      ssh -t xilinx@BOARD sudo ./lcp-agent-pynq_z1/install.sh --host 0.0.0.0
    """
    path = output or Path(f"lcp-agent-{name}.tar.gz")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    agent = agent_for(name)
    from lcp_tvm.board.kit import write_kit

    write_kit(BOARDS[name], agent, path)
    kit_bytes, agent_bytes = path.stat().st_size, len(agent)
    if as_json:
        print_json(
            {
                "file": str(path),
                "board": name,
                "machine": BOARDS[name].machine,
                "kit_bytes": kit_bytes,
                "agent_bytes": agent_bytes,
            }
        )
        return
    click.echo(
        f"wrote {path}: {kit_bytes / 1e6:.1f} MB, the agent for {BOARDS[name].machine} is "
        f"{agent_bytes / 1e6:.1f} MB"
    )


def agent_for(name: str) -> bytes:
    """The agent for a board, compiled with a progress bar unless it is in the cache."""
    with ProgressBar() as progress:
        progress("looking for the sources", 0.0)
        from lcp_tvm.board.build import build_agent

        return build_agent(BOARDS[name].machine, progress).read_bytes()
