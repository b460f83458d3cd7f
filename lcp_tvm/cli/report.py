"""``lcp-tvm report``: what a package holds and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from lcp_tvm.cli.options import (
    FILE,
    debug_option,
    json_option,
    package_argument,
    plot_option,
)
from lcp_tvm.cli.output import print_json, stdout_console


@click.command("report")
@package_argument
@click.option(
    "--graph",
    metavar="FILE",
    type=FILE,
    help="Draw the plan instead: tasks, devices and what goes between them, as .svg or .png.",
)
@plot_option("the VTA layers as a roofline instead")
@json_option
@debug_option
def report_command(package: Path, graph: Path | None, plot: Path | None, as_json: bool) -> None:
    """Show what runs where, the memory map, and what each layer costs.

    Of a split network also what every function and device takes of a frame.

    Cycles and milliseconds come from the simulator, at the clock of the VTA config. "Of array" is
    the time that the multiply-accumulates alone would take in a full array, over the time taken;
    "limited by" is what took the most cycles.

    \b
    Examples:
      lcp-tvm report net.lcp
      lcp-tvm report net.lcp --json | jq .total
      lcp-tvm report net.lcp --graph plan.svg
      lcp-tvm report net.lcp --plot roofline.png
    """
    from lcp_tvm.package import read_package

    opened = read_package(package)
    if graph is not None:
        from lcp_tvm.plan.draw import draw_plan

        draw_plan(opened.plan(), graph)
        click.echo(f"wrote {graph}")
    if plot is not None:
        from lcp_tvm.report import build_report
        from lcp_tvm.roofline import plot_roofline

        plot_roofline(build_report(opened), plot)
        click.echo(f"wrote {plot}")
    if graph is not None or plot is not None:
        return

    from lcp_tvm.report import build_report, report_json
    from lcp_tvm.report_text import render_report

    report = build_report(opened)
    if as_json:
        print_json(report_json(report))
    else:
        stdout_console().print(render_report(report))
