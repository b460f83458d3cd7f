"""``lcp-tvm bench``: what frames take on workers, or on boards that nobody owns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import FILE, Number, debug_option, json_option, package_argument
from lcp_tvm.cli.output import ProgressBar, print_json, print_messages, stdout_console
from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    from lcp_tvm.plan.plan import Policy

MAX_FRAMES = 1_000_000
MAX_SLOWNESS = 1000


@click.command("bench")
@package_argument
@click.option(
    "--cluster",
    "cluster_file",
    metavar="FILE.toml",
    type=FILE,
    help="The devices, with their addresses unless they are emulated.",
)
@click.option(
    "--workers",
    metavar="HOST:PORT,...",
    help="The devices, in place of a cluster; without either, workers on this machine.",
)
@click.option(
    "--emulate",
    is_flag=True,
    help="Emulate the cluster here: its network in namespaces, and workers that take their "
    "boards' time. Needs root.",
)
@click.option(
    "--policy",
    type=click.Choice(["static", "sharing", "stealing"]),
    help="Who runs a task; by default as the plan says.",
)
@click.option(
    "--frames",
    metavar="N",
    type=click.IntRange(1, MAX_FRAMES),
    default=10,
    show_default=True,
    help="Frames to measure, after one that is not counted.",
)
@click.option(
    "--sources",
    metavar="S",
    type=click.IntRange(1),
    help="Frames come from the first S devices in turn; by default as the cluster says.",
)
@click.option(
    "--in-flight",
    metavar="K",
    type=click.IntRange(1, MAX_FRAMES),
    help="Frames at a time: the next one comes when one is done. By default one of each source.",
)
@click.option(
    "--devices",
    metavar="N",
    type=click.IntRange(1),
    help="Emulate the first N devices of the cluster, or repeat them up to N.",
)
@click.option(
    "--slow-motion",
    metavar="F",
    type=Number(1, MAX_SLOWNESS),
    help="Emulate at 1/F of the speed, when this machine is slower than the boards; by default "
    "as much as it needs.",
)
@click.option(
    "--trace", metavar="OUT.json", type=FILE, help="Write the timeline, for ui.perfetto.dev."
)
@json_option
@debug_option
def bench_command(
    package: Path,
    cluster_file: Path | None,
    workers: str | None,
    emulate: bool,
    policy: Policy | None,
    frames: int,
    sources: int | None,
    in_flight: int | None,
    devices: int | None,
    slow_motion: float | None,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Measure latency, frames per second and traffic, beside the prediction for the same cluster.

    Frames are random numbers that lie at their sources, as a camera's would.

    \b
    Examples:
      lcp-tvm bench net.lcp --cluster deepthings-6.toml --emulate --policy stealing
      lcp-tvm bench net.lcp --cluster boards.toml --sources 6 --frames 60
      lcp-tvm bench net.lcp --workers 10.0.0.1:9090,10.0.0.2:9090
    """
    if cluster_file is not None and workers is not None:
        raise InputError("bench: give the devices with --cluster or with --workers, not both")
    if emulate and cluster_file is None:
        raise InputError("bench: --emulate emulates a cluster; give it with --cluster FILE.toml")
    if not emulate and (devices is not None or slow_motion is not None):
        raise InputError("bench: --devices and --slow-motion go with --emulate")
    with ProgressBar() as progress:
        progress("loading the runtime", 0.0)
        from lcp_tvm.package import read_package
        from lcp_tvm.predict.cluster import resized
        from lcp_tvm.predict.predict import batch_notes
        from lcp_tvm.predict.trace import write_trace
        from lcp_tvm.rpc.bench import Load, bench
        from lcp_tvm.rpc.bench_text import bench_json, bench_table
        from lcp_tvm.rpc.discover import find_workers, load_workers
        from lcp_tvm.rpc.statistics import timeline

        opened = read_package(package)
        if emulate:
            from lcp_tvm.predict.cluster_file import load_cluster
            from lcp_tvm.rpc.emulation.run import emulate as bench_emulated

            assert cluster_file is not None
            cluster = load_cluster(cluster_file)
            if devices is not None:
                cluster = resized(cluster, devices)
            load = Load.of(frames, sources, in_flight, cluster)
            found = bench_emulated(
                opened, cluster, load, policy, slow_motion, trace is not None, progress
            )
        else:
            boards = None
            if cluster_file is not None:
                boards = load_workers(cluster_file)
            elif workers is not None:
                boards = find_workers(workers)
            load = Load.of(frames, sources, in_flight, boards.cluster if boards else None)
            found = bench(opened, boards, load, policy, trace is not None, progress)
        if trace is not None:
            write_trace(timeline(found.measured.statistics.spans), trace)
    if as_json:
        print_json(bench_json(found))
        return
    print_messages(batch_notes(opened.plan()))
    click.echo(found.conditions)
    stdout_console().print(bench_table(found))
    if trace is not None:
        click.echo(f"wrote {trace}")
