"""The instruction sets that kernels are compiled for here, and a run of kernels on this machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import tirx

from tests.cpu.kernels.blocks import Floats
from tests.cpu.kernels.cases import Case

LEVELS: Mapping[str, frozenset[str]] = {
    "x86-64-v2": frozenset({"ssse3", "sse4_1", "sse4_2"}),
    "x86-64-v3": frozenset({"avx2", "fma", "f16c", "bmi2"}),
    "x86-64-v4": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
}
"""What the kernel says of a processor that has a level."""

VNNI = "x86-64-v4-vnni"
"""The highest level and products of int8."""


@cache
def _flags() -> frozenset[str]:
    if platform.machine() != "x86_64":
        return frozenset()
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return frozenset(text.partition("\nflags")[2].partition("\n")[0].split())


def target_of(level: str) -> tvm.target.Target:
    """Return TVM's target; the test is skipped where the processor lacks the level."""
    base, vnni = level.removesuffix("-vnni"), level == VNNI
    if missing := (LEVELS[base] | {"avx512_vnni"} if vnni else LEVELS[base]) - _flags():
        pytest.skip(f"this processor has no {', '.join(sorted(missing))}")
    options = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": base}
    return tvm.target.Target(options | ({"mattr": ["+avx512vnni"]} if vnni else {}))


def run_here(case: Case, level: str) -> Floats:
    """Compile a kernel, run it over a result full of NaN, and return that."""
    function: tirx.PrimFunc = case.make("tested")
    compiled = tvm.compile(tvm.IRModule({"tested": function}), target=target_of(level))
    result = tvm.runtime.tensor(np.full(case.shape, np.nan, np.float32))
    compiled["tested"](*map(tvm.runtime.tensor, case.arguments), result)
    return result.numpy()
