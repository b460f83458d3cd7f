"""Our pieces for CPUs beside onnxruntime, in turns in one process.

    python benchmarks/cpu.py [NETWORK...]            float32, one thread
    python benchmarks/cpu.py --int8 [NETWORK...]     int8 against its int8, QDQ
    python benchmarks/cpu.py --threads 2 [NETWORK...]
    python benchmarks/cpu.py --tuned [NETWORK...]    with the database that lcp-tvm ships; or with
                                                     --int8 too
    python benchmarks/cpu.py --ftp                   tiles of YOLOv2 against the whole
    python benchmarks/cpu.py --memory [NETWORK...]   peak resident memory, processes of their own
    python benchmarks/cpu.py --layers NETWORK        every distinct convolution alone
    python benchmarks/cpu.py --peak                  what one core can do

Networks have random weights. Times are medians. ``ratio`` is ours over onnxruntime's, the median
over rounds in which both run: below 1, ours is faster. One thread is measured by its own processor
time, several by the wall clock, and ``processor_ratio`` is of the process's processor time. A piece
is compiled as for a package, without a database unless ``--tuned`` is given, and called as
`lcp-agent` calls it. ``of_untuned`` is a tuned piece over one without a database.

Whole tables are written to ``cpu.csv``, ``cpu_tuned.csv``, ``cpu_int8.csv``,
``cpu_int8_tuned.csv``, ``cpu_2_threads.csv``, ``cpu_ftp.csv`` and ``cpu_memory.csv``. An answer
that is wrong ends the run: float32 must be within 1e-4 of onnxruntime, relative to the largest
element; int8 must be the integer network's, bit for bit.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.cpu.target import parse_target  # noqa: E402
from lcp_tvm.cpu.tunings import shipped_tunings  # noqa: E402
from lcp_tvm.tunings import NO_TUNINGS  # noqa: E402
from tests.cpu.judge import measure  # noqa: E402
from tests.cpu.judge.layers import convolutions  # noqa: E402
from tests.cpu.judge.networks import NETWORKS, load  # noqa: E402
from tests.cpu.judge.peak import peak_gflops  # noqa: E402
from tests.cpu.judge.turns import Budget, geometric_mean  # noqa: E402

OUTPUT = Path(__file__)
Row = Mapping[str, str]


def main() -> None:
    options = _options()
    os.environ["TVM_NUM_THREADS"] = str(options.threads)  # read when its pool is first used
    how = measure.How(
        options.target,
        options.threads,
        time.thread_time if options.threads == 1 else time.perf_counter,
        Budget(options.seconds),
        shipped_tunings([parse_target(options.target).processor]) if options.tuned else NO_TUNINGS,
    )
    networks = options.networks or list(NETWORKS)
    if options.peak:
        print(f"peak of one core: {peak_gflops():.1f} GFLOP/s")
    elif options.layers:
        peak = peak_gflops()
        print(f"# {options.layers}; peak of one core: {peak:.1f} GFLOP/s")
        _table(measure.layer_rows(convolutions(load(options.layers).module), how, peak))
    elif options.ftp:
        _save("ftp", _table([measure.tiles_row("yolov2", how)]), whole=True)
    elif options.memory:
        rows = _table(measure.memory_row(name, how) for name in networks)
        _save("memory", rows, whole=not options.networks)
    else:
        row = measure.int8_row if options.int8 else measure.float_row
        rows = _table(_with_mean(row(name, how) for name in networks))
        kinds = ["int8"] * options.int8 + ["tuned"] * options.tuned
        kinds += [f"{options.threads}_threads"] * (options.threads > 1)
        _save("_".join(kinds), rows, whole=not options.networks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--seconds", type=float, default=10.0, help="to measure one row in")
    parser.add_argument("--tuned", action="store_true")
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("int8", "ftp", "memory", "peak"):
        kinds.add_argument(f"--{kind}", action="store_true")
    kinds.add_argument("--layers", metavar="NETWORK", choices=NETWORKS)
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in NETWORKS]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    return options


def _with_mean(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, and one with the geometric mean of their ratios."""
    ratios = []
    for row in rows:
        ratios.append(float(row["ratio"]))
        yield row
    blank = dict.fromkeys(row, "")
    yield {**blank, "network": "geometric mean", "ratio": f"{geometric_mean(ratios):.3f}"}


def _table(rows: Iterator[Row] | Sequence[Row]) -> list[Row]:
    """Print each row as soon as there is one."""
    writer = None
    kept = []
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()
        kept.append(row)
    return kept


def _save(kind: str, rows: Sequence[Row], *, whole: bool) -> None:
    """Write a table that has all its rows."""
    if not whole:
        return
    path = OUTPUT.with_name(f"cpu_{kind}.csv" if kind else "cpu.csv")
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
