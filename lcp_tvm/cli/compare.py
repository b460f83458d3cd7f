"""``lcp-tvm compare``: all ways to split a network, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import FILE, debug_option, json_option, plot_option
from lcp_tvm.cli.output import ProgressBar, print_json, print_messages, stdout_console

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.compare import Row


@click.command("compare")
@click.argument("model", metavar="MODEL", type=FILE)
@click.option(
    "--cluster",
    "cluster_file",
    metavar="FILE.toml",
    type=FILE,
    required=True,
    help="Devices and network; see examples/clusters.",
)
@click.option(
    "--splits",
    metavar="SPLIT,...",
    help="As for 'compile --split', with commas between; left out: every kind, for as many "
    "devices as the cluster has.",
)
@click.option("--devices", metavar="N", type=click.IntRange(1, 1000), help="Change their number.")
@click.option("--int8", "integer", is_flag=True, help="Compare the quantised network.")
@click.option(
    "--frames",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="Frames to predict.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the network's jitter.")
@plot_option("the table")
@json_option
@debug_option
def compare_command(
    model: Path,
    cluster_file: Path,
    splits: str | None,
    devices: int | None,
    integer: bool,
    frames: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Predict every way to split an ONNX model on a cluster.

    Latency is of one frame at a time; frames per second are with several in flight. Of the ways
    to hand out tasks (static, stealing) each row has the one with the least latency. All figures
    are modelled: no board is needed.

    \b
    Examples:
      lcp-tvm compare net.onnx --cluster examples/clusters/rpi3.toml --devices 6
      lcp-tvm compare net.onnx --cluster pis.toml --splits none,lcp:4,ftp:2x2:reuse --plot it.png
    """
    with ProgressBar() as progress:
        progress("loading", 0.0)
        from lcp_tvm.compare import compare_plans, plan_all, rows_json
        from lcp_tvm.frontend.load import load_network
        from lcp_tvm.predict.cluster import resized
        from lcp_tvm.predict.cluster_file import load_cluster
        from lcp_tvm.split_text import parse_split

        cluster = load_cluster(cluster_file)
        if devices is not None:
            cluster = resized(cluster, devices)
        specs = (
            [(text, parse_split(text)) for text in splits.split(",")]
            if splits is not None
            else None
        )
        network = load_network(model)
        plans, messages = plan_all(network, cluster, specs, integer=integer, progress=progress)
        progress("predicting", 0.7)
        rows = compare_plans(plans, cluster, frames=frames, seed=seed)
        title = f"{network.name} on {cluster.name}, {len(cluster.devices)} devices (modelled)"
        if plot is not None:
            from lcp_tvm.compare_plot import plot_rows

            progress("drawing", 0.9)
            plot_rows(rows, title, plot)
    print_messages(messages)
    if as_json:
        print_json({"network": network.name, "cluster": cluster.name, "rows": rows_json(rows)})
        return
    stdout_console().print(_table(rows, title))
    if any(not row.fits for row in rows):
        click.echo("! does not fit the memory of every device it needs")
    if any(row.retrain for row in rows):
        click.echo("lcp changes the network: train it before you use it")
    if plot is not None:
        click.echo(f"wrote {plot}")


def _table(rows: Sequence[Row], title: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("split")
    table.add_column("policy")
    for heading in ("tasks", "ms", "p95", "speedup", "fps", "MB/frame", "MiB", "GMAC"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            escape(row.split),
            row.policy,
            str(row.tasks),
            f"{row.latency_ms:.1f}",
            f"{row.p95_ms:.1f}",
            f"{row.speedup:.2f}x",
            f"{row.frames_per_second:.2f}",
            f"{row.megabytes:.2f}",
            f"{row.memory_mib:.1f}" + ("" if row.fits else " !"),
            f"{row.macs / 1e9:.2f}",
        )
    return table
