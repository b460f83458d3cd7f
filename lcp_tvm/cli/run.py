"""``lcp-tvm run``: pictures through a package, on workers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import (
    FILE,
    Number,
    debug_option,
    json_option,
    package_argument,
    workers_options,
)
from lcp_tvm.cli.output import ProgressBar, print_json, stdout_console
from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.answers import Answer
    from lcp_tvm.plan.plan import Plan, Policy
    from lcp_tvm.rpc.workers import Workers

BAR_WIDTH = 24
MAX_IN_FLIGHT = 1024


@click.command("run")
@package_argument
@click.argument("images", metavar="IMAGE...", type=FILE, nargs=-1, required=True)
@workers_options
@click.option(
    "--sources", metavar="D,D,...", help="Devices that pictures come from in turn, for example 0,1."
)
@click.option(
    "--in-flight",
    metavar="N",
    type=click.IntRange(1, MAX_IN_FLIGHT),
    default=4,
    show_default=True,
    help="Pictures that are computed at a time, on each replica of the network.",
)
@click.option(
    "--deadline",
    metavar="S",
    type=Number(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds within which an answer must be there.",
)
@click.option("--stats", is_flag=True, help="Show what every device did.")
@click.option(
    "--trace", metavar="OUT.json", type=FILE, help="Write the timeline, for ui.perfetto.dev."
)
@click.option(
    "--metrics",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Serve metrics for Prometheus on this port while pictures run; 0 takes a free one.",
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
    package: Path,
    images: tuple[Path, ...],
    workers: str | None,
    cluster_file: Path | None,
    policy: Policy | None,
    sources: str | None,
    in_flight: int,
    deadline: float,
    stats: bool,
    trace: Path | None,
    metrics: int | None,
    top: int,
    as_json: bool,
) -> None:
    """Run pictures through a compiled network and show the likeliest classes, or what a detector
    finds.

    \b
    Examples:
      lcp-tvm run net.lcp cat.jpg dog.jpg
      lcp-tvm run net.lcp cat.jpg --workers 192.168.2.99:9090 --top 3
      lcp-tvm run net.lcp *.jpg --cluster boards.toml --policy stealing --stats
      lcp-tvm run net.lcp *.jpg --workers tracker://192.168.2.1:9190 --trace out.json
    """
    with ProgressBar() as progress, ExitStack() as stack:
        progress("loading the runtime", 0.0)
        from lcp_tvm.package import read_package
        from lcp_tvm.predict.trace import write_trace
        from lcp_tvm.report_plan import plan_cost
        from lcp_tvm.rpc.metrics import Metrics
        from lcp_tvm.rpc.settings import Settings
        from lcp_tvm.rpc.statistics import statistics_json, timeline
        from lcp_tvm.rpc.statistics_text import render_statistics
        from lcp_tvm.runner import run_pictures

        opened = read_package(package)
        plan = opened.plan()
        found = workers_of(workers, cluster_file, plan, policy)
        described = () if found is None or found.cluster is None else found.cluster.sources
        settings = Settings(
            policy=policy,
            sources=parse_sources(sources) or described,
            in_flight=in_flight,
            deadline_s=deadline,
            trace=trace is not None,
        )
        served = Metrics()
        if metrics is not None:
            port = stack.enter_context(served.served(metrics))
            click.echo(f"metrics: http://127.0.0.1:{port}/metrics", err=True)
        outcome = run_pictures(
            opened, images, found, settings, top=top, progress=progress, watch=served.update
        )
        if trace is not None:
            write_trace(timeline(outcome.statistics.spans), trace)
        manifest = opened.manifest
        simulated_ms = plan_cost(plan, manifest.vta_ms(), manifest.cpu_peak_bytes()).picture_ms
    if as_json:
        rows = [asdict(answer) for answer in outcome.answers]
        values = {"simulated_ms": simulated_ms, "answers": rows}
        print_json(values | ({"statistics": statistics_json(outcome.statistics)} if stats else {}))
        return
    stdout_console().print(answers_table(outcome.answers))
    if simulated_ms is not None:
        click.echo(f"VTA: {simulated_ms:.3f} ms a picture, simulated")
    if stats:
        click.echo()
        stdout_console().print(render_statistics(outcome.statistics, outcome.elapsed_s))
    if trace is not None:
        click.echo(f"wrote {trace}")


def parse_sources(text: str | None) -> tuple[int, ...]:
    """Read ``0,1``; None is nothing.

    Raises
    ------
    InputError
        It is no list of numbers.
    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise InputError(f"--sources {text!r}: must be numbers of devices, for example 0,1")
    return tuple(map(int, parts))


def workers_of(
    text: str | None, cluster_file: Path | None, plan: Plan, policy: Policy | None
) -> Workers | None:
    """Find what ``--workers`` or ``--cluster`` names, for a plan; None where neither is given.

    Raises
    ------
    InputError
        Both are given, or one is wrong.
    WorkerError
        A tracker knows of none.
    """
    from lcp_tvm.rpc.discover import find_workers, load_workers, with_gateway

    if text is not None and cluster_file is not None:
        raise InputError("--workers and --cluster both say where workers are; give one of them")
    if cluster_file is not None:
        return load_workers(cluster_file)
    return None if text is None else with_gateway(find_workers(text), plan, policy)


def answers_table(answers: Sequence[Answer]) -> Table:
    """Return the likeliest classes of each picture, or what is found in it, with bars."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold")
    for answer in answers:
        name = escape(answer.picture)
        for guess in answer.guesses:
            table.add_row(name, escape(guess.label), *_bar(guess.probability))
            name = ""
        for found in answer.detections or ():
            left, top, right, bottom = (f"{100 * edge:.0f}" for edge in found.box)
            where = f"{left}-{right}% across, {top}-{bottom}% down"
            table.add_row(name, escape(found.label), *_bar(found.score), where)
            name = ""
        if answer.detections == ():
            table.add_row(name, "nothing found")
        elif not answer.guesses and answer.detections is None:
            shapes = ", ".join("x".join(map(str, shape)) for shape in answer.shapes)
            table.add_row(name, f"no classifier: outputs {shapes}")
    return table


def _bar(share: float) -> tuple[str, str]:
    return f"{share:6.1%}", f"[green]{'█' * round(share * BAR_WIDTH)}[/green]"
