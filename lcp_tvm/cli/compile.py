"""``lcp-tvm compile``: a model to a package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from lcp_tvm.cli.options import FILE, debug_option, json_option
from lcp_tvm.cli.output import ProgressBar, print_json, print_messages, stdout_console
from lcp_tvm.errors import InputError
from lcp_tvm.split_text import FORMS, Auto, Lcp, Objective, SplitSpec, Whole, parse_split

if TYPE_CHECKING:
    from lcp_tvm.package import Package
    from lcp_tvm.report import Report

WORST_LAYERS = 5
SHOWN_FUNCTIONS = 12
MAX_FRAMES = 64


@click.command("compile")
@click.argument("models", metavar="MODEL...", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", metavar="NET.lcp", type=FILE, required=True, help="File to write.")
@click.option(
    "--target",
    metavar="TARGET[,DEVICE=TARGET...]",
    default="vta",
    show_default=True,
    help="vta, vta:CONFIG (pynq_z1, pynq_z2, ultra96, zcu104, sim or FILE.json), arm:pynq, "
    "arm:rpi3, arm:rpi4, arm:rpi5 or cpu. With vta, @arm at the end compiles the CPU parts for "
    "the board's own ARM cores. Devices of a split may have others: "
    "vta,gateway=arm:rpi4,2-3=arm:rpi3.",
)
@click.option(
    "--split",
    "split_text",
    metavar="SPLIT",
    help=f"Over devices: {', '.join(FORMS)}.  [default: none; with --head lcp:N, N branches]",
)
@click.option(
    "--cluster", metavar="FILE.toml", type=FILE, help="What auto splits for: devices and network."
)
@click.option(
    "--minimise",
    type=click.Choice(get_args(Objective)),
    help="What auto makes small; latency unless told.",
)
@click.option(
    "--export-onnx",
    "export",
    metavar="FILE.onnx",
    type=FILE,
    help="With lcp: also write the branches as one float model, to be trained.",
)
@click.option(
    "--calibrate",
    metavar="DIR|FILE.npz",
    type=FILE,
    help="Typical inputs: a folder of pictures, or one preprocessed array [N, C, H, W].",
)
@click.option(
    "--preprocess",
    metavar="FILE.toml",
    type=FILE,
    help="What a picture must look like: size, mean, std, scale, channels, resize.",
)
@click.option(
    "--pixels",
    is_flag=True,
    help="Take pictures as bytes, as a camera gives them: the devices normalise what they read, "
    "and a quarter travels.",
)
@click.option(
    "--batch-frames",
    "frames",
    metavar="N",
    type=click.IntRange(1, MAX_FRAMES),
    default=1,
    show_default=True,
    help="Frames of a camera that are computed together: the VTA loads weights once for all of "
    "them. More frames a second, but each waits for the others.",
)
@click.option(
    "--tuned",
    metavar="FILE",
    type=FILE,
    help="Database of 'lcp-tvm tune': what took longer to find.  [default: none for VTA; for "
    "CPUs what lcp-tvm ships]",
)
@click.option(
    "--params",
    metavar="FILE.params",
    type=FILE,
    multiple=True,
    help="Weights of an MXNet network, once for each.  [default: the newest beside "
    "NAME-symbol.json]",
)
@click.option(
    "--head",
    metavar="FILE.params",
    type=FILE,
    help="Dense layer that merges several MODELs, branches of MXNet that lack it.",
)
@click.option("--labels", metavar="FILE", type=FILE, help="Names of the classes, one a line.")
@json_option
@debug_option
def compile_command(
    models: tuple[Path, ...],
    output: Path,
    target: str,
    split_text: str | None,
    cluster: Path | None,
    minimise: Objective | None,
    export: Path | None,
    calibrate: Path | None,
    preprocess: Path | None,
    pixels: bool,
    frames: int,
    tuned: Path | None,
    params: tuple[Path, ...],
    head: Path | None,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Compile a model to a package: ONNX, float or QDQ, or MXNet's NAME-symbol.json.

    With --split the network becomes tasks for several devices. LCP branches are another network,
    which is to be trained; every other split computes what the model computes.

    The report that follows says what runs where, what quantisation costs in accuracy, and the
    time on the simulated accelerator.

    \b
    Examples:
      lcp-tvm compile net.onnx -o net.lcp --calibrate pictures/
      lcp-tvm compile net.onnx -o net.lcp --target vta:ultra96 --calibrate inputs.npz
      lcp-tvm compile net.onnx -o net.lcp --target arm:rpi3 --preprocess net.toml
      lcp-tvm compile net.onnx -o net.lcp --split ftp:3x3 --target vta,gateway=arm:rpi4
      lcp-tvm compile net-symbol.json -o net.lcp --params net-0100.params
      lcp-tvm compile branch0-symbol.json branch1-symbol.json --head dense.params -o net.lcp
    """
    for file in (output, export):
        if file is not None and not file.absolute().parent.is_dir():
            raise InputError(f"{file}: its folder does not exist; make it first")
    if split_text is None:
        split_text = "none" if head is None else f"lcp:{len(models)}"
    split = _split(split_text, cluster, minimise)
    if export is not None and not isinstance(split, Lcp):
        raise InputError(
            "--export-onnx goes with --split lcp:N; any other split computes what the model does"
        )
    package = compile_file(
        models,
        output,
        target,
        split=split,
        calibrate=calibrate,
        preprocess=preprocess,
        pixels=pixels,
        frames=frames,
        labels=labels,
        tuned=tuned,
        export=export,
        params=params,
        head=head,
    )

    from lcp_tvm.report import build_report, report_json

    report = build_report(package)
    if as_json:
        print_json({"file": str(output), **report_json(report)})
        return
    print_messages(report.messages)
    print_summary(report)
    for file in filter(None, (output, export)):
        click.echo(f"wrote {file}")


def _split(text: str, cluster: Path | None, minimise: Objective | None) -> SplitSpec:
    """Read the options that say how to split."""
    split = parse_split(text)
    if isinstance(split, Auto):
        if cluster is None:
            raise InputError("--split auto splits for a cluster; give it with --cluster FILE.toml")
        return Auto(cluster, minimise or split.minimise)
    if cluster is not None or minimise is not None:
        raise InputError("--cluster and --minimise go with --split auto")
    return split


def compile_file(
    models: Path | Sequence[Path],
    output: Path,
    target: str,
    *,
    split: SplitSpec | None = None,
    calibrate: Path | None = None,
    preprocess: Path | None = None,
    pixels: bool = False,
    frames: int = 1,
    labels: Path | None = None,
    tuned: Path | None = None,
    export: Path | None = None,
    params: Sequence[Path] = (),
    head: Path | None = None,
) -> Package:
    """Compile a model file to a package, with a progress bar.

    Parameters
    ----------
    models : one file, or those of the branches that ``head`` merges.
    pixels : whether frames are uint8.
    frames : that are computed together.
    tuned : a database of tilings.
    export : where to write the network that was compiled, in float.
    params : weights of MXNet networks that do not lie beside them.
    head : the dense layer of branches.
    """
    with ProgressBar() as progress:
        progress("loading the compiler", 0.0)
        from lcp_tvm.compiler import compile_network
        from lcp_tvm.cpu.tunings import shipped_tunings
        from lcp_tvm.frontend.export_file import write_onnx
        from lcp_tvm.frontend.load import load_networks
        from lcp_tvm.package import write_package
        from lcp_tvm.pictures import load_calibration, read_labels, read_preprocess
        from lcp_tvm.targets import parse_targets
        from lcp_tvm.tunings import read_tunings

        parsed = parse_targets(target)
        if tuned is None:
            tunings = shipped_tunings(one.processor for one in parsed.all if one.vta is None)
        else:
            tunings = read_tunings(tuned)
        progress("reading the model", 0.01)
        network = load_networks(
            [models] if isinstance(models, Path) else models,
            head=head,
            params=params,
            preprocess=None if preprocess is None else read_preprocess(preprocess),
            labels=None if labels is None else read_labels(labels),
        )
        pictures = None
        if calibrate is not None:
            progress("reading pictures", 0.04)
            pictures = load_calibration(calibrate, network.preprocess, network.input_shape)
        compiled = compile_network(
            network,
            parsed,
            pictures,
            split=split or Whole(),
            pixels=pixels,
            frames=frames,
            tunings=tunings,
            progress=lambda what, fraction: progress(what, 0.05 + 0.95 * fraction),
        )
        package = write_package(compiled, output)
        if export is not None:
            write_onnx(compiled.network, export)
        return package


def print_summary(report: Report) -> None:
    """Print what a user wants to know of a fresh package."""
    from lcp_tvm.report_text import (
        devices_table,
        functions_table,
        noise_table,
        pieces_table,
        reasons_lines,
        size_text,
    )

    console = stdout_console()
    for line in reasons_lines(report.reasons):
        console.print(line)
    if report.noise:
        console.print(noise_table(report.noise, worst=WORST_LAYERS))
    if report.plan.tasks > 1:
        console.print(functions_table(report.plan, most=SHOWN_FUNCTIONS))
        console.print(devices_table(report.plan))
    else:
        console.print(pieces_table(report.pieces))
    if report.total is not None:
        together = f", {report.plan.batch} together" if report.plan.batch > 1 else ""
        clock = f" at {report.clock_mhz} MHz" if report.clock_mhz is not None else ""
        console.print(
            f"simulated on {report.config}{clock}: {report.plan.picture_ms:.3f} ms a frame"
            f"{together}, {report.total.gemm_share:.1%} of the GEMM limit, "
            f"{size_text(report.total.dram_bytes)} of memory"
        )
