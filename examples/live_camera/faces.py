"""Find faces in a live camera by four boards, each a quarter of the picture, on one page.

    python examples/live_camera/faces.py
    python examples/live_camera/faces.py --source camera:0

Boards are workers on this machine unless ``--workers`` names others. All options are those of
``lcp-tvm camera``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lcp_tvm.cli import main
from lcp_tvm.cli.compile import compile_file
from lcp_tvm.split_text import parse_split

HERE = Path(__file__).parent
SPLIT = "ftp:2x2"


def faces(options: list[str]) -> int:
    """Compile the detector whole and in four, and show it; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        packages = [Path(folder) / "tiles.lcp", Path(folder) / "whole.lcp"]
        model = HERE / "face_detector.onnx"
        compile_file(model, packages[0], "cpu", split=parse_split(SPLIT), pixels=True)
        compile_file(model, packages[1], "cpu", pixels=True)
        if "--source" not in options:
            options = [*options, "--source", f"synthetic:{HERE / 'pictures'}"]
        if not {"--workers", "--cluster"}.intersection(options):
            options = [*options, "--workers", "4"]
        return main(["camera", *map(str, packages), *options])


if __name__ == "__main__":
    sys.exit(faces(sys.argv[1:]))
