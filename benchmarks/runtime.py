"""What runs cost beside a bare socket on this machine's loopback, in turns: a CSV.

    python benchmarks/runtime.py [ROUNDS]

Medians. Moving a tensor from worker to worker and through a bare socket, without what an empty one
takes either way; and an empty task from the orchestrator to a worker and back.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.rpc.overhead import EMPTY, LARGE, TENSOR, measure_overhead  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as folder:
        found = measure_overhead(Path(folder), rounds)
    rows = [("what", "bytes", "us", "socket_us", "ratio", "gb_per_s", "socket_gb_per_s")]
    for size in (TENSOR, LARGE):
        ours, bare = found.gigabytes_per_second(size)
        rows.append(
            (
                "worker to worker",
                size,
                f"{found.moved[size]:.0f}",
                f"{found.socket[size]:.0f}",
                f"{found.ratio(size):.2f}",
                f"{ours:.2f}",
                f"{bare:.2f}",
            )
        )
    rows.append(("empty task", EMPTY, f"{found.empty:.0f}", "", "", "", ""))
    with OUTPUT.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    print(OUTPUT.read_text(), end="")


if __name__ == "__main__":
    main()
