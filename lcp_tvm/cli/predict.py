"""``lcp-tvm predict``: what a split network would cost on a cluster."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import FILE, Number, debug_option, json_option, package_argument
from lcp_tvm.cli.output import ProgressBar, print_json, print_messages, stdout_console
from lcp_tvm.errors import PackageError

if TYPE_CHECKING:
    from lcp_tvm.plan.plan import Plan, Policy

MAX_FRAMES = 1_000_000
MAX_DEVICES = 1024


@click.command("predict")
@package_argument
@click.option(
    "--cluster", "cluster_file", metavar="FILE.toml", type=FILE, required=True, help="The devices."
)
@click.option(
    "--frames",
    metavar="N",
    type=click.IntRange(1, MAX_FRAMES),
    default=1,
    show_default=True,
    help="Frames to compute.",
)
@click.option(
    "--policy",
    type=click.Choice(["static", "sharing", "stealing"]),
    help="Who runs a task: the device of the plan, or else the one that ends it first; whom the "
    "gateway deals it to, all data passing there; whoever is free. By default as the plan says.",
)
@click.option(
    "--in-flight",
    metavar="K",
    type=click.IntRange(1, MAX_FRAMES),
    default=1,
    show_default=True,
    help="Frames at a time: the next one comes when one is done.",
)
@click.option(
    "--fps",
    metavar="RATE",
    type=Number(min=0, min_open=True),
    help="Frames a second that come in any case, in place of --in-flight.",
)
@click.option(
    "--devices",
    metavar="N",
    type=click.IntRange(1, MAX_DEVICES),
    help="Take the first N devices of the cluster, or repeat them up to N.",
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), default=0, help="Of the network's jitter."
)
@click.option(
    "--trace", metavar="OUT.json", type=FILE, help="Write the timeline, for ui.perfetto.dev."
)
@json_option
@debug_option
def predict_command(
    package: Path,
    cluster_file: Path,
    frames: int,
    policy: Policy | None,
    in_flight: int,
    fps: float | None,
    devices: int | None,
    seed: int,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Predict latency, frames per second, traffic and memory on a cluster, by simulation.

    NET.lcp may also be a bare plan, a JSON file. The clusters of the papers are in
    examples/clusters.

    \b
    Examples:
      lcp-tvm predict net.lcp --cluster rpi3.toml --devices 4
      lcp-tvm predict net.lcp --cluster deepthings-6.toml --policy stealing --trace out.json
      lcp-tvm predict net.lcp --cluster rpi3.toml --frames 1000 --in-flight 8 --json | jq .links
    """
    with ProgressBar() as progress:
        progress("reading the plan", 0.0)
        from lcp_tvm.predict.cluster import resized
        from lcp_tvm.predict.cluster_file import load_cluster
        from lcp_tvm.predict.predict import predict
        from lcp_tvm.predict.prediction import prediction_json
        from lcp_tvm.predict.prediction_text import render_prediction
        from lcp_tvm.predict.trace import write_trace

        cluster = load_cluster(cluster_file)
        if devices is not None:
            cluster = resized(cluster, devices)
        plan = read_plan(package)
        progress("simulating", 0.1)
        prediction = predict(
            plan,
            cluster,
            frames=frames,
            policy=policy,
            in_flight=in_flight,
            period_ms=None if fps is None else 1e3 / fps,
            seed=seed,
            trace=trace is not None,
        )
        if trace is not None:
            progress("writing the timeline", 0.9)
            write_trace(prediction.spans, trace)
    if as_json:
        print_json(prediction_json(prediction))
        return
    print_messages(prediction.notes)
    stdout_console().print(render_prediction(prediction))
    if trace is not None:
        click.echo(f"wrote {trace}")


def read_plan(path: Path) -> Plan:
    """Read the plan of a package, or a plan that is a file of its own.

    Raises
    ------
    PackageError
        There is none, or it is damaged.
    """
    from lcp_tvm.package import read_package
    from lcp_tvm.plan.plan_json import MAX_BYTES, parse_plan

    if zipfile.is_zipfile(path):
        return read_package(path).plan()
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or error
        raise PackageError(f"{path}: cannot be read ({reason}); give a .lcp file") from error
    return parse_plan(text, str(path))
