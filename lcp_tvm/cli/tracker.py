"""``lcp-tvm tracker``: where workers say that they are there."""

from __future__ import annotations

import click

from lcp_tvm.cli.options import debug_option


@click.command("tracker")
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address to listen on; 0.0.0.0 for all. Anyone who reaches it can read and change it.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9190, show_default=True,
    help="Port to listen on; 0 takes a free one.",
)  # fmt: skip
@debug_option
def tracker_command(host: str, port: int) -> None:
    """Run a TVM RPC tracker until Ctrl-C: workers register with it, and 'run' finds them there.

    \b
    Examples:
      lcp-tvm tracker --host 0.0.0.0
      lcp-tvm worker --host 0.0.0.0 --tracker 192.168.2.1:9190
      lcp-tvm run net.lcp cat.jpg --workers tracker://192.168.2.1:9190
    """
    from lcp_tvm.rpc.tracker import print_ready, serve

    serve(host, port, on_ready=print_ready)
