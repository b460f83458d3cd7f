"""Frames under random kills and freezes of their workers: a CSV.

    python benchmarks/chaos.py [FRAMES]

Three workers and a gateway on this machine. A few times a second one of the workers is
killed, loses its session, or is frozen for a while. Every frame must be right, or be reported
failed in time.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.plan.plan import Policy  # noqa: E402
from tests.rpc.chaos import run_under_chaos  # noqa: E402
from tests.rpc.processes import worker_processes  # noqa: E402
from tests.rpc.split_packages import compute_answers, split_package  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")

RUNS: tuple[tuple[str, Policy], ...] = (
    ("ftp:3x3@3:reuse", "stealing"),
    ("ftp:3x3@3", "static"),
    ("ftp:3x3@3", "sharing"),
    ("pipeline:3", "static"),
    ("none", "static"),
)


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    each = -(-frames // len(RUNS))
    names = ("frames", "right", "failed", "wrong", "late", "kills", "session_kills", "freezes")
    bad = 0
    with OUTPUT.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("split", "policy", *names, "seconds"))
        for split, policy in RUNS:
            with tempfile.TemporaryDirectory() as folder, worker_processes(4) as workers:
                package = split_package(split, Path(folder))
                answers = compute_answers(package, 64)
                tally = asyncio.run(
                    run_under_chaos(package, answers, workers, policy, frames=each, mean_s=0.2)
                )
            bad += len(tally.wrong) + len(tally.late)
            counts = (
                tally.frames,
                tally.right,
                tally.failed,
                len(tally.wrong),
                len(tally.late),
                tally.kills,
                tally.session_kills,
                tally.freezes,
            )
            writer.writerow((split, policy, *counts, f"{tally.seconds:.0f}"))
            stream.flush()
    print(OUTPUT.read_text(), end="")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
