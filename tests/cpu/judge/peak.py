"""What one core of this machine can do at most, measured: float32 multiply-adds in registers."""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
ROUNDS = 2_000_000
RUNS = 9


def peak_gflops() -> float:
    """The median of several runs, in GFLOP/s of the calling thread's time."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "peak.so")
        command = [sys.executable, "-m", "ziglang", "cc", "-O3", "-march=native"]
        command += ["-ffp-contract=fast", "-fno-sanitize=all", "-shared", "-fPIC"]
        subprocess.run([*command, str(SOURCE), "-o", str(library)], check=True)
        code = ctypes.CDLL(str(library))
    code.RunRounds.argtypes = [ctypes.c_long, ctypes.c_float, ctypes.c_float]
    code.RunRounds.restype = ctypes.c_float
    operations = ROUNDS * int(code.OperationsOfARound())
    times = []
    for _ in range(RUNS):
        begin = time.thread_time()
        code.RunRounds(ROUNDS, 0.5, 1.0)
        times.append(time.thread_time() - begin)
    return 1e-9 * operations / statistics.median(times)
