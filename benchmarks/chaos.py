"""Frames under random kills and freezes of their workers: a CSV.

    python benchmarks/chaos.py [FRAMES]

Three workers and a gateway on this machine. A few times a second one of the workers is
killed, loses its session, or is frozen for a while. Every frame must be right, or be reported
failed in time. Two of the runs go on at a time.
"""

from __future__ import annotations

import asyncio
import csv
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.plan.plan import Policy  # noqa: E402
from tests.rpc.chaos import run_under_chaos  # noqa: E402
from tests.rpc.processes import worker_processes  # noqa: E402
from tests.rpc.split_packages import compute_answers, split_package  # noqa: E402

HEADINGS = (
    "split", "policy", "frames", "right", "failed", "wrong", "late", "kills", "session_kills",
    "freezes", "seconds",
)  # fmt: skip

OUTPUT = Path(__file__).with_suffix(".csv")

RUNS: tuple[tuple[str, Policy], ...] = (
    ("ftp:3x3@3:reuse", "stealing"),
    ("ftp:3x3@3", "static"),
    ("ftp:3x3@3", "sharing"),
    ("pipeline:3", "static"),
    ("none", "static"),
)


def measure(split: str, policy: Policy, frames: int) -> tuple[object, ...]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder, worker_processes(4) as workers:
        package = split_package(split, Path(folder))
        answers = compute_answers(package, 64)
        tally = asyncio.run(
            run_under_chaos(package, answers, workers, policy, frames=frames, mean_s=0.2)
        )
    return (
        split,
        policy,
        tally.frames,
        tally.right,
        tally.failed,
        len(tally.wrong),
        len(tally.late),
        tally.kills,
        tally.session_kills,
        tally.freezes,
        f"{tally.seconds:.0f}",
    )


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    each = -(-frames // len(RUNS))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(measure, *zip(*RUNS, strict=True), [each] * len(RUNS)))
    with OUTPUT.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADINGS)
        writer.writerows(rows)
    print(OUTPUT.read_text(), end="")
    wrong, late = HEADINGS.index("wrong"), HEADINGS.index("late")
    sys.exit(1 if any(row[wrong] or row[late] for row in rows) else 0)


if __name__ == "__main__":
    main()
