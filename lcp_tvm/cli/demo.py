"""``lcp-tvm demo``: one network on two boards, from the models to the answers."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.bundled import EXAMPLE, bundled_examples
from lcp_tvm.cli.compile import compile_file, print_summary
from lcp_tvm.cli.options import debug_option
from lcp_tvm.cli.output import ProgressBar, stdout_console
from lcp_tvm.cli.run import answers_table
from lcp_tvm.split_text import Lcp

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.answers import Answer
    from lcp_tvm.package import Package
    from lcp_tvm.predict.cluster import Cluster

ORIGINAL = "vgg_int8.onnx"
BRANCHES = "vgg_split2.onnx"
CLUSTER = Path("clusters", "pynq-2-pc.toml")
BOARD = "vta:pynq_z1"
BOARDS = f"{BOARD},gateway=cpu"
PICTURE = "ankle-boot.png"
TOP = 3
_PIXEL = "▀"  # upper half in the foreground colour, lower half in the background's
_DARK = 32
_SHADES = " .:-=+*#%@"


@click.command("demo")
@debug_option
def demo_command() -> None:
    """Run a network of two branches on two simulated boards, and its original on one.

    The network knows ten kinds of clothes (Fashion-MNIST). Each branch is compiled for the VTA
    accelerator of a PYNQ-Z1 and runs on a worker of this machine, over RPC; this machine merges
    what they find. The latencies are modelled: the simulator's cycles and the link between boards.
    """
    examples = bundled_examples()
    example = examples / EXAMPLE
    picture = example / "pictures" / PICTURE
    console = stdout_console()
    with tempfile.TemporaryDirectory() as temporary:
        console.print(f"[bold]1. compile[/bold] {BRANCHES} for two boards, {BOARDS}")
        branches = compile_file(
            example / BRANCHES,
            Path(temporary, "branches.lcp"),
            BOARDS,
            split=Lcp(2),
            calibrate=example / "calibration",
        )

        from lcp_tvm.predict.cluster_file import load_cluster
        from lcp_tvm.report import build_report

        print_summary(build_report(branches))
        console.print(
            "\n[bold]2. push[/bold] it to two local workers over RPC [bold]and run[/bold]"
        )
        answer = _answer(branches, picture)
        console.print(_drawn(picture, console.color_system is not None), highlight=False)
        console.print(answers_table([answer]))

        console.print(f"\n[bold]3. the original[/bold], {ORIGINAL}, on one worker")
        original = compile_file(example / ORIGINAL, Path(temporary, "original.lcp"), BOARD)
        console.print(answers_table([_answer(original, picture)]))

        cluster = load_cluster(examples / CLUSTER)
        console.print(
            "\n[bold]4. latency[/bold] of a picture, modelled: "
            f"the simulator's cycles and the link of {CLUSTER.name}"
        )
        console.print(_latencies(*(_latency_ms(made, cluster) for made in (original, branches))))


def _answer(package: Package, picture: Path) -> Answer:
    """Run a picture on as many workers of this machine as the network has boards."""
    from lcp_tvm.rpc.workers import local_workers
    from lcp_tvm.runner import run_pictures

    with ProgressBar() as progress, local_workers(package.plan().devices) as workers:
        (answer,) = run_pictures(package, (picture,), workers, top=TOP, progress=progress).answers
    return replace(answer, picture=picture.name)


def _latency_ms(package: Package, cluster: Cluster) -> float:
    """Model the time from a picture at the first board until its answer is at the gateway."""
    from lcp_tvm.predict.predict import predict

    return predict(package.plan(), cluster).latency_ms.p50


def _latencies(original_ms: float, branches_ms: float) -> Table:
    """Return both latencies, and how many times lower the second is."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("the original on one board", f"{original_ms:.2f} ms")
    table.add_row("two branches on two boards", f"{branches_ms:.2f} ms")
    table.add_row("", f"{original_ms / branches_ms:.2f}x lower")
    return table


def _drawn(path: Path, colour: bool) -> str:
    """Return a grey picture as text, two rows of pixels a line, without its dark border."""
    import numpy as np
    from PIL import Image

    grey = np.asarray(Image.open(path).convert("L"), np.int64)
    bright = np.flatnonzero(grey.max(axis=1) > _DARK)
    grey = grey[bright.min() : bright.max() + 1]
    grey = np.pad(grey, ((0, grey.shape[0] % 2), (0, 0)))
    if colour:
        lines = zip(grey[::2].tolist(), grey[1::2].tolist(), strict=True)
        return "\n".join("".join(map(_pixels, *line)) for line in lines)
    shades = (grey[::2] + grey[1::2]) * len(_SHADES) // 512
    return "\n".join("".join(_SHADES[shade] for shade in line).rstrip() for line in shades)


def _pixels(above: int, below: int) -> str:
    return f"[rgb({above},{above},{above}) on rgb({below},{below},{below})]{_PIXEL}[/]"
