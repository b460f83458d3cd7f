"""``lcp-tvm run``: pictures through a package, on workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import FILE, debug_option, json_option, package_argument
from lcp_tvm.cli.output import ProgressBar, print_json, stdout_console

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.answers import Answer

BAR_WIDTH = 24


@click.command("run")
@package_argument
@click.argument("images", metavar="IMAGE...", type=FILE, nargs=-1, required=True)
@click.option(
    "--workers",
    metavar="HOST:PORT,...",
    help="Boards that run 'lcp-tvm worker'; pictures are dealt out to them in turn. Of a split "
    "network device 0 is the first, and the gateway the one after the last device; fewer workers "
    "take several parts. Without it a worker is started on this machine.",
)
@click.option(
    "--top",
    metavar="K",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Classes to show.",
)
@json_option
@debug_option
def run_command(
    package: Path, images: tuple[Path, ...], workers: str | None, top: int, as_json: bool
) -> None:
    """Run pictures through a compiled network and show the likeliest classes.

    \b
    Examples:
      lcp-tvm run net.lcp cat.jpg dog.jpg
      lcp-tvm run net.lcp cat.jpg --workers 192.168.2.99:9090 --top 3
    """
    with ProgressBar() as progress:
        progress("loading the runtime", 0.0)
        from lcp_tvm.package import read_package
        from lcp_tvm.report_plan import plan_cost
        from lcp_tvm.runner import parse_workers, run_pictures

        addresses = None if workers is None else parse_workers(workers)
        opened = read_package(package)
        answers = run_pictures(opened, images, addresses, top, progress)
        simulated_ms = plan_cost(opened.plan(), opened.manifest.vta_ms()).vta_ms
    if as_json:
        rows = [asdict(answer) for answer in answers]
        print_json({"simulated_ms": simulated_ms, "answers": rows})
        return
    stdout_console().print(answers_table(answers))
    if simulated_ms is not None:
        click.echo(f"VTA: {simulated_ms:.3f} ms a picture, simulated")


def answers_table(answers: Sequence[Answer]) -> Table:
    """Return the likeliest classes of each picture, with bars."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold")
    for answer in answers:
        name = escape(answer.picture)
        for guess in answer.guesses:
            bar = "█" * round(guess.probability * BAR_WIDTH)
            share = f"{guess.probability:6.1%}"
            table.add_row(name, escape(guess.label), share, f"[green]{bar}[/green]")
            name = ""
        if not answer.guesses:
            shapes = ", ".join("x".join(map(str, shape)) for shape in answer.shapes)
            table.add_row(name, f"no classifier: outputs {shapes}")
    return table
