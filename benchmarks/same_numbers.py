"""Every split on every number of workers under every policy: the bits of this process? A CSV.

    python benchmarks/same_numbers.py [FRAMES]

200 frames each, several in flight; from 1 to 6 devices as sources, in turn.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.plan.plan import Policy  # noqa: E402
from tests.rpc.processes import worker_processes  # noqa: E402
from tests.rpc.split_packages import SPLITS, compute_answers, split_package  # noqa: E402
from tests.rpc.test_same_numbers import MOST_WORKERS, Case, wrong_frames  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
MOST_SOURCES = 6


def main() -> None:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    bad = 0
    with OUTPUT.open("w", newline="") as stream, worker_processes(MOST_WORKERS + 1) as processes:
        addresses = [worker.address for worker in processes]
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("split", "policy", "workers", "sources", "frames", "wrong", "seconds"))
        for split in SPLITS:
            with tempfile.TemporaryDirectory() as folder:
                package = split_package(split, Path(folder))
                answers = compute_answers(package, frames)
                for policy in get_args(Policy):
                    for workers in range(1, MOST_WORKERS + 1):
                        sources = min(workers, MOST_SOURCES)
                        case = Case(policy, workers, sources, in_flight=2 * workers)
                        begin = time.monotonic()
                        wrong = asyncio.run(wrong_frames(package, case, addresses, answers))
                        seconds = f"{time.monotonic() - begin:.1f}"
                        bad += len(wrong)
                        row = (split, policy, workers, sources, frames, len(wrong), seconds)
                        writer.writerow(row)
                        stream.flush()
    print(f"{bad} wrong frames")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
