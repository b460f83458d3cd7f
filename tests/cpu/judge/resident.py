"""Resident memory that a contender takes, in a process of its own, as /proc says."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.cpu.judge.contenders import Array, Piece, onnx_program, session

RUNS = 3
Contender = Callable[[Path, Array], float]


class Growth:
    """How far this process grows from here on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is resident
        self._begin = _status_mb("VmRSS")

    def peak_mb(self) -> float:
        """The most so far, in MB."""
        return _status_mb("VmHWM") - self._begin


def peak_mb(contender: Contender, code: Path, x: Array) -> float:
    """MB by which a new process grows, at most, when it loads a contender and runs it.

    Libraries and Python are there before; pages of the contender's file count.
    """
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=start) as pool:
        return pool.submit(contender, code, x).result()


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
