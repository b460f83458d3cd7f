"""``lcp-tvm demo``: the whole way, from a model to an answer, with what the package carries."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from lcp_tvm.cli.compile import compile_file, print_summary
from lcp_tvm.cli.options import debug_option
from lcp_tvm.cli.output import ProgressBar, stdout_console
from lcp_tvm.cli.run import answers_table
from lcp_tvm.errors import InputError

EXAMPLE = "fashion_mnist"
PICTURE = "ankle-boot.png"
TOP = 5
_PIXEL = "▀"  # upper half in the foreground colour, lower half in the background's
_DARK = 32
_SHADES = " .:-=+*#%@"


@click.command("demo")
@click.option(
    "--target", default="vta:pynq_z1", show_default=True, help="As for 'lcp-tvm compile'."
)
@debug_option
def demo_command(target: str) -> None:
    """Compile a small network, push it to a simulated board, and classify a picture there.

    The network knows ten kinds of clothes (Fashion-MNIST). It is compiled for the VTA
    accelerator of a PYNQ-Z1 and runs on a worker of this machine, over RPC.
    """
    example = bundled_example()
    console = stdout_console()
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "demo.lcp")
        model = example / "fashion_net.onnx"
        console.print(f"[bold]1. compile[/bold] {model.name} for {target}")
        package = compile_file(model, output, target, calibrate=example / "calibration")

        from lcp_tvm.report import build_report
        from lcp_tvm.runner import run_pictures

        print_summary(build_report(package))
        console.print("\n[bold]2. push[/bold] it to a local worker over RPC [bold]and run[/bold]")
        picture = example / "pictures" / PICTURE
        with ProgressBar() as progress:
            answers = run_pictures(package, (picture,), None, top=TOP, progress=progress).answers
    console.print(_drawn(picture, console.color_system is not None), highlight=False)
    console.print(answers_table([replace(answer, picture=PICTURE) for answer in answers]))
    for module in package.manifest.modules.values():
        for program, stats in module.stats.items():
            cycles, milliseconds = stats["cycles"], stats["ms"]
            console.print(f"{program}: {cycles:,.0f} cycles, {milliseconds:.3f} ms simulated")


def bundled_example() -> Path:
    """Return the folder of the bundled network.

    Raises
    ------
    InputError
        The installation lacks it.
    """
    import lcp_tvm

    folders = [Path(folder, "examples", EXAMPLE) for folder in lcp_tvm.__path__]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise InputError(
        f"the bundled network is missing (looked in {', '.join(map(str, folders))}); "
        "install lcp-tvm again"
    )


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
