"""What a program costs beside its run, through the driver of a board that is emulated here.

    python benchmarks/launch.py [RUNS]

The board's registers and memory are files, its accelerator a process with the simulator that polls
without pause. ``call_us`` is a call from Python: packing, flushing, the run, invalidating,
unpacking. ``launch_us`` is what the driver waits beyond what the simulator takes: registers, start,
seeing the end, and the other process's poll. Emulated: on a board flushing costs what its cache
does. Writes ``launch.csv``.
"""

from __future__ import annotations

import csv
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.board.self_test import self_test  # noqa: E402
from lcp_tvm.vta.config import load_config  # noqa: E402
from tests.board.boards import build_fake, emulated_board, install, process_on  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")


def measure(memory: str, folder: Path, runs: int) -> dict[str, object]:
    """Medians over so many runs of the self-test."""
    with emulated_board(folder / memory, poll_s=0) as board:
        install(board, memory, folder)
        file = board / "self_test.vta"
        file.write_bytes(self_test(load_config("pynq_z1")))
        tensors = [str(board / "x.npy"), str(board / "y.npy")]
        np.save(tensors[0], np.zeros((1, 64, 28, 28), np.int8))
        np.save(tensors[1], np.zeros((1, 64, 14, 14), np.int8))
        calls, launches, busy = [], [], 0.0
        with process_on(board) as process:
            options = {"root": str(board), "memory": memory}
            process.ask("open", config="pynq_z1", options=options)
            process.ask("load", file=str(file))
            for _ in range(runs):
                answer = process.ask("time", symbol="self_test", tensors=tensors)
                time.sleep(0.005)  # the accelerator's process writes what it took
                before, busy = busy, float((board / "busy_s").read_text())
                calls.append(answer["call_s"])
                launches.append(answer["run_ms"] * 1e-3 - (busy - before))
    return {
        "memory": memory,
        "runs": runs,
        "call_us": round(statistics.median(calls) * 1e6),
        "launch_us": round(statistics.median(launches) * 1e6),
    }


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in ("cma", "xrt"):
            build_fake(name, folder / f"{name}.so")
        rows = [measure(memory, folder, runs) for memory in ("cma", "xrt", "udmabuf")]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    print(table.getvalue(), end="")
    OUTPUT.write_text(table.getvalue())


if __name__ == "__main__":
    main()
