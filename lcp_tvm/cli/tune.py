"""``lcp-tvm tune``: better tilings of VTA layers, or better kernels on a CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcp_tvm.cli.options import FILE, Number, debug_option, json_option
from lcp_tvm.cli.output import ProgressBar, print_json, stdout_console
from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.cpu.target import Target
    from lcp_tvm.vta.tune import Found, Job

VTA_DATABASE, CPU_DATABASE = "vta_tilings.jsonl", "cpu_kernels.jsonl"
VTA_SECONDS, CPU_SECONDS = 10.0, 60.0


@click.command("tune")
@click.argument("network", metavar="NET.lcp|MODEL", type=FILE)
@click.option(
    "--target",
    metavar="TARGET",
    help="Of a model: as for 'compile'; vta unless told. A package has its own.",
)
@click.option(
    "--calibrate",
    metavar="DIR|FILE.npz",
    type=FILE,
    help="Of a model: as for 'compile'. For VTA, shifts and biases follow from it, and tilings "
    "from them; for a CPU the kernels of int8 are tuned.",
)
@click.option(
    "--budget",
    metavar="SECONDS",
    type=Number(0, 86_400),
    help="The most time to search for each layer of another shape.  "
    f"[default: {VTA_SECONDS:.0f} for VTA, {CPU_SECONDS:.0f} for a CPU]",
)
@click.option(
    "--database",
    metavar="FILE",
    type=FILE,
    help=f"Where results go.  [default: {VTA_DATABASE} or {CPU_DATABASE} in the user's data "
    "folder]",
)
@click.option(
    "--split",
    metavar="SPLIT",
    help="For a CPU: tune the functions of a split network, as for 'compile'.",
)
@click.option(
    "--worker",
    metavar="HOST:PORT",
    help="For a CPU: measure there.  [default: on this machine]",
)
@json_option
@debug_option
def tune_command(
    network: Path,
    target: str | None,
    calibrate: Path | None,
    budget: float | None,
    database: Path | None,
    split: str | None,
    worker: str | None,
    as_json: bool,
) -> None:
    """Search longer for tilings of VTA layers, or kernels of a CPU, than 'compile' does.

    Results go into a database, for 'compile --tuned'. Layers of the same shape share them.

    On a VTA, cycles are the simulator's, of a layer that runs alone; a result is kept where it is
    better than what is there. For a CPU, choices are measured, on this machine or on a worker.

    \b
    Examples:
      lcp-tvm tune net.lcp
      lcp-tvm tune net.onnx --calibrate pictures/ --budget 60 --database net.jsonl
      lcp-tvm compile net.onnx -o net.lcp --calibrate pictures/ --tuned net.jsonl
      lcp-tvm tune net.onnx --target arm:rpi4 --worker 192.168.2.99:9090 --database net.jsonl
      lcp-tvm tune net.onnx --target cpu --calibrate pictures/
    """
    parsed = _target_of(network, target)
    if parsed.vta is None:
        _tune_cpu(network, parsed, (split, worker, calibrate), budget, database, as_json)
        return
    if (split, worker) != (None, None):
        raise InputError("--split and --worker go with --target cpu or arm:BOARD")
    path = database or _default_database(VTA_DATABASE)
    seconds = VTA_SECONDS if budget is None else budget
    if network.suffix == ".lcp" and (target, calibrate) != (None, None):
        raise InputError(f"{network}: --target and --calibrate go with a model, not a package")
    with ProgressBar() as progress:
        progress("loading", 0.0)
        from lcp_tvm.tunings import Tunings, read_tunings
        from lcp_tvm.vta.tune import tune
        from lcp_tvm.vta.tunings import store_tuning, vta_tunings

        tunings = read_tunings(path) if path.exists() else Tunings()
        if network.suffix == ".lcp":
            jobs = _jobs_of_package(network)
        else:
            jobs = _jobs_of_model(network, target or "vta", calibrate, progress)
        if not jobs:
            raise InputError(
                f"{network}: no layer that can be tuned runs on a VTA, or an older version made "
                "the package; compile the network again"
            )
        found = []
        for number, job in enumerate(jobs):
            progress(f"tuning {job.names[0]}"[:24], number / len(jobs))
            result = tune(job.layer, job.config, seconds, vta_tunings(tunings, job.config))
            store_tuning(path, result.after, job.config)
            found.append(result)
    if as_json:
        print_json({"database": str(path), "layers": list(map(_row, jobs, found))})
        return
    stdout_console().print(_table(jobs, found))
    click.echo(f"wrote {path}; use it with 'lcp-tvm compile --tuned {path}'")


def _target_of(network: Path, text: str | None) -> Target:
    """Return the one target that a network is tuned for; packages have theirs, with a VTA."""
    from lcp_tvm.targets import parse_targets

    targets = parse_targets(text or "vta")
    if targets.default.vta is None and targets.others:
        raise InputError(f"--target {text}: tune for one CPU at a time")
    return targets.default


def _tune_cpu(
    network: Path,
    target: Target,
    options: tuple[str | None, str | None, Path | None],
    budget: float | None,
    database: Path | None,
    as_json: bool,
) -> None:
    split, worker, calibrate = options
    if network.suffix == ".lcp":
        raise InputError(f"--target {target.text}: give the model, not a package")
    path = database or _default_database(CPU_DATABASE)
    with ProgressBar() as progress:
        progress("loading", 0.0)
        from lcp_tvm.cli.tune_cpu import Source, layers_table, tune_network

        seconds = CPU_SECONDS if budget is None else budget
        source = Source(network, split or "none", calibrate)
        rows = tune_network(source, target, worker, seconds, path, progress)
    if as_json:
        print_json({"database": str(path), "layers": [row.json for row in rows]})
        return
    stdout_console().print(layers_table(rows, target))
    click.echo(f"wrote {path}; use it with 'lcp-tvm compile --tuned {path}'")


def _default_database(name: str) -> Path:
    """The database in the user's data folder, which is made."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(home) / "lcp-tvm"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror or error}); give --database FILE"
        ) from error
    return folder / name


def _jobs_of_package(path: Path) -> list[Job]:
    import json

    from lcp_tvm.package import read_package
    from lcp_tvm.vta.config import parse_config
    from lcp_tvm.vta.container import read_header
    from lcp_tvm.vta.tune import jobs_of

    package = read_package(path)
    jobs: list[Job] = []
    for name in package.manifest.modules:
        data = package.vta(name)
        if data is not None:
            header = read_header(data)
            jobs += jobs_of(parse_config(json.dumps(header["config"]), str(path)), header)
    return jobs


def _jobs_of_model(
    path: Path, target: str, calibrate: Path | None, progress: ProgressBar
) -> list[Job]:
    from lcp_tvm.compiler import compile_network
    from lcp_tvm.frontend.load import load_network
    from lcp_tvm.pictures import load_calibration
    from lcp_tvm.targets import parse_targets
    from lcp_tvm.vta.config import load_config
    from lcp_tvm.vta.tune import jobs_of

    targets = parse_targets(target)
    network = load_network(path)
    pictures = None
    if calibrate is not None:
        pictures = load_calibration(calibrate, network.preprocess, network.input_shape)
    compiled = compile_network(network, targets, pictures, progress=progress)
    return [
        job
        for module in compiled.modules
        if module.code.vta is not None and module.target.vta is not None
        for job in jobs_of(load_config(module.target.vta), module.header)
    ]


def _row(job: Job, found: Found) -> dict[str, Any]:
    from lcp_tvm.facts import facts_of

    return {
        "names": list(job.names),
        "config": job.config.name,
        "before": {"cycles": found.before.cycles, "instructions": found.before.instructions},
        "after": {"cycles": found.after.cycles, "instructions": found.after.instructions},
        "tiling": facts_of(found.after.tiling),
    }


def _table(jobs: Sequence[Job], found: Sequence[Found]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = "Simulated, each layer alone"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("layer", overflow="fold")
    for heading in ("layers", "cycles before", "after", "gain", "ms"):
        table.add_column(heading, justify="right")
    ms = before = after = 0.0
    for job, result in zip(jobs, found, strict=True):
        count = len(job.names)
        each = result.after.cycles / (1e3 * job.config.clock_mhz)
        table.add_row(
            escape(job.names[0]),
            str(count),
            f"{result.before.cycles:,}",
            f"{result.after.cycles:,}",
            _gain(result.before.cycles, result.after.cycles),
            f"{each:.3f}",
        )
        before += count * result.before.cycles
        after += count * result.after.cycles
        ms += count * each
    table.add_section()
    layers = str(sum(len(job.names) for job in jobs))
    table.add_row(
        "all", layers, f"{before:,.0f}", f"{after:,.0f}", _gain(before, after), f"{ms:.3f}"
    )
    return table


def _gain(before: float, after: float) -> str:
    return f"{1 - after / before:.1%}"
