"""Memory of lcp-agent, idle and while it runs tiles of YOLOv2, as /proc says: a CSV.

    python benchmarks/memory.py [FRAMES]

The columns are those of ``Used`` in tests/rpc/memory.py.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from dataclasses import astuple, fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.rpc.memory import WAYS, Used, compile_tiles, measure_memory  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rows = [("split", "policy", "devices", *(f"{field.name}_mb" for field in fields(Used)))]
    with tempfile.TemporaryDirectory() as name:
        packages = {
            split: compile_tiles(split, Path(name)) for split in sorted({w.split for w in WAYS})
        }
        for way in WAYS:
            used = measure_memory(packages[way.split], way, frames)
            row = (way.split, way.policy, str(way.devices))
            rows.append((*row, *(f"{value:.1f}" for value in astuple(used))))
            print(*rows[-1], flush=True)
    with OUTPUT.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
