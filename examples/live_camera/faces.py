"""Find faces in a live camera by four boards, each in a quarter of the picture, on one page.

    python examples/live_camera/faces.py
    python examples/live_camera/faces.py --source camera:0

Boards are workers on this machine unless ``--workers`` or ``--cluster`` names others. All options
are those of ``lcp-tvm camera``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lcp_tvm.cli import main
from lcp_tvm.cli.compile import compile_file
from lcp_tvm.package import Package
from lcp_tvm.split_text import parse_split

HERE = Path(__file__).parent


def compile_detector(folder: Path) -> tuple[Package, Package]:
    """Compile the detector in 2x2 tiles and whole, for boards like this machine."""
    model = HERE / "face_detector.onnx"
    tiles = parse_split("ftp:2x2")
    return (
        compile_file(model, folder / "tiles.lcp", "cpu", split=tiles, pixels=True),
        compile_file(model, folder / "whole.lcp", "cpu", pixels=True),
    )


def show(packages: Sequence[Package], options: Sequence[str]) -> int:
    """Show what the detector finds until Ctrl-C; return the exit status."""
    defaults: list[str] = []
    if "--source" not in options:
        defaults += ["--source", f"synthetic:{os.path.relpath(HERE / 'pictures')}"]
    if not {"--workers", "--cluster"}.intersection(options):
        defaults += ["--workers", "4"]
    return main(["camera", *(str(package.path) for package in packages), *defaults, *options])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(show(compile_detector(Path(folder)), sys.argv[1:]))
