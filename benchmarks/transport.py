"""Tensors from one process to another, beside a bare TCP socket.

    python benchmarks/transport.py [ROUNDS] > benchmarks/transport.csv

Builds and runs ``native/bench/transport_bench.cc``. Both ways go over loopback between the same two
processes, in turns; one round is one message there and a short answer back. Times are medians over
the rounds, of this machine's clock. A box cropped out of a tensor is sent row by row by the
transport, and packed first for the bare socket; ``runs`` counts its contiguous pieces.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
ROUNDS = 500


def build() -> Path:
    """The benchmark's program, built as the library is released."""
    cmake = [sys.executable, "-m", "cmake"]
    options = ["-DLCP_TVM_TESTS=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    for step in (
        ["-S", str(ROOT / "native"), "-B", str(BUILD), *options],
        ["--build", str(BUILD), "--target", "transport_bench"],
    ):
        subprocess.run([*cmake, *step], check=True, stdout=sys.stderr)
    return BUILD / "transport_bench"


def main() -> None:
    """Print the table."""
    rounds = sys.argv[1] if len(sys.argv) > 1 else str(ROUNDS)
    subprocess.run([build(), rounds], check=True)


if __name__ == "__main__":
    main()
