"""Resident memory that a contender takes, in a process of its own, as the system counts it."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.cpu.judge.contenders import Array, Piece, onnx_program, session

T = TypeVar("T")
RUNS = 3
PR_SET_THP_DISABLE = 41


class Growth:
    """How far this process grows from here on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is resident
        self._begin = _status_mb("VmRSS")

    def peak_mb(self) -> float:
        """The most so far, in MB."""
        return _status_mb("VmHWM") - self._begin


def in_new_process(contender: Callable[[Path, Array], T], code: Path, x: Array) -> T:
    """Return what a contender counts in a new process, where no other's memory lies about.

    Libraries and Python are there before; pages of the contender's file count.
    """
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=start) as pool:
        return pool.submit(contender, code, x).result()


def pages_taken(library: Path, x: Array) -> list[int]:
    """Pages of 4 KB that this process takes from the system in each call of our piece.

    Huge pages are turned off, of which few would be counted.
    """
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    program = Piece(library).program("network", [x])
    counts = [_pages()]
    for _ in range(RUNS + 1):
        program()
        counts.append(_pages())
    return [after - before for before, after in itertools.pairwise(counts)]


def _pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def piece(library: Path, x: Array) -> float:
    """Our piece, its only function called ``network``."""
    growth = Growth()
    program = Piece(library).program("network", [x])
    for _ in range(RUNS):
        program()
    return growth.peak_mb()


def runtime(model: Path, x: Array) -> float:
    """A session of onnxruntime with one input."""
    growth = Growth()
    loaded = session(model, threads=1)
    program = onnx_program(loaded, {loaded.get_inputs()[0].name: x})
    for _ in range(RUNS):
        program()
    return growth.peak_mb()


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6
