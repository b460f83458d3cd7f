"""``lcp-tvm report``: what a package holds and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from lcp_tvm.cli.options import debug_option, json_option, package_argument
from lcp_tvm.cli.output import print_json, stdout_console


@click.command("report")
@package_argument
@json_option
@debug_option
def report_command(package: Path, as_json: bool) -> None:
    """Show what runs where, the memory map, and what each layer costs.

    Cycles and milliseconds come from the simulator, at the clock of the VTA config. "Of GEMM
    limit" is the time that the multiply-accumulates alone would take in a full array, over the
    time taken.

    \b
    Examples:
      lcp-tvm report net.lcp
      lcp-tvm report net.lcp --json | jq .total
    """
    from lcp_tvm.package import read_package
    from lcp_tvm.report import build_report, report_json
    from lcp_tvm.report_text import render_report

    report = build_report(read_package(package))
    if as_json:
        print_json(report_json(report))
    else:
        stdout_console().print(render_report(report))
