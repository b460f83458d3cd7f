"""Train the variants of the four networks and append one row for each to runs.csv.

    python examples/lcp_fashion_mnist/experiment.py FOLDER --jobs 2

Each row is one ``lcp-tvm train`` in FOLDER, where the trained networks stay. Rows that are there
are skipped, and a training that was interrupted goes on where it was: start it again at any time.
Accuracy is that of the file that was written, on all test pictures.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from measure import measure
from networks import NETWORKS, build
from rows import RUNS, Row, append_row, read_rows
from variants import VARIANTS, Run, all_runs

from lcp_tvm.cli.output import INTERRUPTED


class FailedRunError(Exception):
    """A command ended with an error."""


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """What all runs have in common.

    Attributes
    ----------
    folder : of all networks.
    data : to train with and to test on; an absolute path.
    epochs, precision : of every training; some have more epochs (`Run.patience`).
    """

    folder: Path
    data: Path
    epochs: int
    precision: str

    def carry_out(self, run: Run) -> Row:
        """Train a network and measure what was written.

        Raises
        ------
        FailedRunError
            Training ended with an error; what it printed is in the log beside the network.
        """
        if run.model is None:
            onnx.save(build(run.network, run.seed), self.folder / run.model_file)
        epochs = self.epochs * run.patience
        settings = ("--epochs", str(epochs), "--precision", self.precision, "--threads", "1")
        command = run.command(str(self.data), settings)
        begin = time.monotonic()
        log = (self.folder / run.file).with_suffix(".log")
        with log.open("a") as file:
            program = [sys.executable, "-m", "lcp_tvm.cli", *command[1:]]
            status = subprocess.run(
                program, cwd=self.folder, stdout=file, stderr=file, check=False
            ).returncode
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            raise FailedRunError(f"{run.file}: exit status {status}; see {log}")
        seconds = round(time.monotonic() - begin)
        found = measure(self.folder / run.file, self.data)
        return Row(run.network, run.variant, run.seed, round(found.accuracy, 2),
                   round(found.int8, 2), found.parameters, found.macs, epochs, seconds,
                   shlex.join(command))  # fmt: skip

    def has(self, run: Run | None) -> bool:
        """Whether a network is trained; None, an untrained one, is always there."""
        return run is None or (self.folder / run.file).exists()


def run_all(
    runs: Sequence[Run], experiment: Experiment, jobs: int, report: Callable[[Row], None]
) -> list[str]:
    """Carry runs out, as many at a time as there are jobs, each after the one it is made of.

    Returns
    -------
    What went wrong, a line for each run that failed or whose model did.
    """
    waiting = list(runs)
    running: dict[Future[Row], Run] = {}
    failures: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            coming = {*waiting, *running.values()}
            ready = [
                run for run in waiting if run.model not in coming and experiment.has(run.model)
            ]
            for run in ready[: jobs - len(running)]:
                waiting.remove(run)
                running[pool.submit(experiment.carry_out, run)] = run
            if not running:
                failures += [f"{run.file}: {run.model_file} is not there" for run in waiting]
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                del running[done]
                try:
                    report(done.result())
                except FailedRunError as error:
                    failures.append(str(error))
                    print(error, file=sys.stderr, flush=True)
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where trained networks and checkpoints are")
    parser.add_argument("--rows", type=Path, default=RUNS)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="these alone")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="these alone")
    parser.add_argument("--seed", action="append", type=int, help="these alone")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, of a thread each")
    parser.add_argument("--data", type=Path, default="/usr/share/datasets/fashion-mnist")
    options = parser.parse_args()

    torch.set_num_threads(1)
    there = {Run(row.network, row.variant, row.seed) for row in read_rows(options.rows)}
    runs = [
        run
        for run in all_runs()
        if run not in there
        and run.network in (options.network or NETWORKS)
        and run.variant in (options.variant or VARIANTS)
        and run.seed in (options.seed or (run.seed,))
    ]
    options.folder.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(
        options.folder, options.data.resolve(), options.epochs, options.precision
    )
    left = len(runs)

    def report(row: Row) -> None:
        nonlocal left
        left -= 1
        append_row(options.rows, row)
        print(f"{row.network:9}{row.variant:18}{row.seed}{row.accuracy:7.2f} %"
              f"{row.int8:7.2f} %{row.seconds:6} s, {left} left", flush=True)  # fmt: skip

    try:
        failures = run_all(runs, experiment, options.jobs, report)
    except KeyboardInterrupt:  # trainings have had it too, and saved where they were
        sys.exit("stopped; the same command goes on")
    if failures:
        sys.exit("\n".join(["", *failures]))


if __name__ == "__main__":
    main()
