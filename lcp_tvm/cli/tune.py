"""``lcp-tvm tune``: better tilings for the VTA layers of a network."""

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

    from lcp_tvm.vta.tune import Found, Job

DATABASE = "vta_tilings.jsonl"


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
    help="Of a model: as for 'compile'. Shifts and biases follow from it, and tilings from them.",
)
@click.option(
    "--budget",
    metavar="SECONDS",
    type=Number(0, 86_400),
    default=10.0,
    show_default=True,
    help="Time to search for each layer of another shape.",
)
@click.option(
    "--database",
    metavar="FILE",
    type=FILE,
    help=f"Where results go; left out: {DATABASE} in the user's data folder.",
)
@json_option
@debug_option
def tune_command(
    network: Path,
    target: str | None,
    calibrate: Path | None,
    budget: float,
    database: Path | None,
    as_json: bool,
) -> None:
    """Search longer for tilings of VTA layers than 'compile' does.

    Cycles are the simulator's, of a layer that runs alone. Results go into a database, for
    'compile --tuned', and are kept where they are better than what is there. Layers of the same
    shape, on boards of the same build, share them.

    \b
    Examples:
      lcp-tvm tune net.lcp
      lcp-tvm tune net.onnx --calibrate pictures/ --budget 60 --database net.jsonl
      lcp-tvm compile net.onnx -o net.lcp --calibrate pictures/ --tuned net.jsonl
    """
    path = database or _default_database()
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
            result = tune(job.layer, job.config, budget, vta_tunings(tunings, job.config))
            store_tuning(path, result.after, job.config)
            found.append(result)
    if as_json:
        print_json({"database": str(path), "layers": list(map(_row, jobs, found))})
        return
    stdout_console().print(_table(jobs, found))
    click.echo(f"wrote {path}; use it with 'lcp-tvm compile --tuned {path}'")


def _default_database() -> Path:
    """The database in the user's data folder, which is made."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(home) / "lcp-tvm"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror or error}); give --database FILE"
        ) from error
    return folder / DATABASE


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
