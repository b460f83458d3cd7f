"""``lcp-tvm worker``: this machine as a board."""

from __future__ import annotations

from pathlib import Path

import click

from lcp_tvm.cli.options import debug_option


@click.command("worker")
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address to listen on; 0.0.0.0 for all. TVM RPC has no password: anyone who "
    "reaches the port can run code here.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True,
    help="Port to listen on; 0 takes a free one.",
)  # fmt: skip
@click.option("--tracker", metavar="HOST:PORT", help="TVM RPC tracker to register with.")
@click.option(
    "--vta", metavar="CONFIG", default="pynq_z1", show_default=True,
    help="VTA of this board: a config's name or file. Programs of another are refused.",
)  # fmt: skip
@click.option(
    "--cores", metavar="N", type=click.IntRange(1, 1024),
    help="Compute threads; one for each core of this machine if not given.",
)  # fmt: skip
@click.option(
    "--memory", metavar="MB", type=click.IntRange(1, 1 << 24),
    help="Most memory for weights and tensors. What would need more is refused.",
)  # fmt: skip
@click.option(
    "--files", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
    help="Keep uploaded modules there, for later runs too; else they go when the worker ends.",
)  # fmt: skip
@debug_option
def worker_command(
    host: str,
    port: int,
    tracker: str | None,
    vta: str,
    cores: int | None,
    memory: int | None,
    files: Path | None,
) -> None:
    """Serve networks over TVM RPC, one session at a time, until Ctrl-C.

    A session runs in a process of its own: when it crashes, the next one finds the worker ready.
    This command is a front for lcp-agent, which needs no Python.

    \b
    Examples:
      lcp-tvm worker --port 9090
      lcp-tvm worker --host 0.0.0.0 --vta ultra96 --tracker 192.168.2.1:9190
      lcp-tvm worker --cores 2 --memory 64 --files ~/.cache/lcp-tvm
    """
    from lcp_tvm.rpc.address import parse_address
    from lcp_tvm.rpc.worker import agent_command, become

    command = agent_command(
        host,
        port,
        tracker=parse_address(tracker) if tracker is not None else None,
        config=vta,
        cores=cores,
        memory_mb=memory,
        files=files,
    )
    become(command, "lcp-tvm")
