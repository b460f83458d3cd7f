"""``lcp-tvm compile``: an ONNX model to a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.cli.options import FILE, debug_option, json_option
from lcp_tvm.cli.output import ProgressBar, print_json, print_messages, stdout_console
from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    from lcp_tvm.package import Package
    from lcp_tvm.report import Report

WORST_LAYERS = 5


@click.command("compile")
@click.argument("model", metavar="MODEL", type=FILE)
@click.option("-o", "--output", metavar="NET.lcp", type=FILE, required=True, help="File to write.")
@click.option(
    "--target",
    metavar="TARGET",
    default="vta",
    show_default=True,
    help="vta, vta:CONFIG (pynq_z1, pynq_z2, ultra96, zcu104, sim or FILE.json), arm:pynq, "
    "arm:rpi3, arm:rpi4 or cpu. With vta, @arm at the end compiles the CPU parts for the "
    "board's own ARM cores.",
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
@click.option("--labels", metavar="FILE", type=FILE, help="Names of the classes, one a line.")
@json_option
@debug_option
def compile_command(
    model: Path,
    output: Path,
    target: str,
    calibrate: Path | None,
    preprocess: Path | None,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Compile an ONNX model, float or QDQ, to a package.

    The report that follows says what runs where, what quantisation costs in accuracy, and the
    time on the simulated accelerator.

    \b
    Examples:
      lcp-tvm compile net.onnx -o net.lcp --calibrate pictures/
      lcp-tvm compile net.onnx -o net.lcp --target vta:ultra96 --calibrate inputs.npz
      lcp-tvm compile net.onnx -o net.lcp --target arm:rpi3 --preprocess net.toml
    """
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: its folder does not exist; make it first")
    package = compile_file(model, output, target, calibrate, preprocess, labels)

    from lcp_tvm.report import build_report, report_json

    report = build_report(package)
    if as_json:
        print_json({"file": str(output), **report_json(report)})
        return
    print_messages(report.messages)
    print_summary(report)
    click.echo(f"wrote {output}")


def compile_file(
    model: Path,
    output: Path,
    target: str,
    calibrate: Path | None,
    preprocess: Path | None = None,
    labels: Path | None = None,
) -> Package:
    """Compile a model file to a package, with a progress bar."""
    with ProgressBar() as progress:
        progress("loading the compiler", 0.0)
        from lcp_tvm.compiler import compile_network
        from lcp_tvm.cpu.target import parse_target
        from lcp_tvm.frontend.onnx import load_onnx
        from lcp_tvm.package import write_package
        from lcp_tvm.pictures import load_calibration, read_labels, read_preprocess

        parsed = parse_target(target)
        progress("reading the model", 0.01)
        network = load_onnx(
            model,
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
            progress=lambda what, fraction: progress(what, 0.05 + 0.95 * fraction),
        )
        return write_package(compiled, output)


def print_summary(report: Report) -> None:
    """Print what a user wants to know of a fresh package."""
    from lcp_tvm.report_text import noise_table, pieces_table, reasons_lines, size_text

    console = stdout_console()
    for line in reasons_lines(report.reasons):
        console.print(line)
    if report.noise:
        console.print(noise_table(report.noise, worst=WORST_LAYERS))
    console.print(pieces_table(report.pieces))
    if report.total is not None:
        console.print(
            f"simulated on {report.config} at {report.clock_mhz} MHz: {report.total.ms:.3f} ms, "
            f"{report.total.gemm_share:.1%} of the GEMM limit, "
            f"{size_text(report.total.dram_bytes)} of memory"
        )
