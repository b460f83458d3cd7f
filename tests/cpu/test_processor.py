"""Which machine runs the code of which processor."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.processor import PROCESSORS, X86_LEVELS, this_processor


def test_every_processor_has_a_core() -> None:
    assert set(PROCESSORS) == set(CORES)


@pytest.mark.parametrize(
    ("processor", "machines"),
    [
        ("x86-64-v2", ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni")),
        ("x86-64-v4", ("x86-64-v4", "x86-64-v4-vnni")),
        ("x86-64-v4-vnni", ("x86-64-v4-vnni",)),
        ("cortex-a9", ("armv7l",)),
        ("cortex-a53", ("aarch64", "aarch64-dotprod")),
        ("cortex-a76", ("aarch64-dotprod",)),
    ],
)
def test_what_runs_where(processor: str, machines: tuple[str, ...]) -> None:
    known = (*X86_LEVELS, "aarch64", "aarch64-dotprod", "armv7l", "riscv64")
    found = tuple(name for name in known if PROCESSORS[processor].runs_on(name))
    assert found == machines


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an x86-64 has these flags")
def test_this_machine_is_what_the_system_says() -> None:
    """The level's features, as Linux names them; the next level has one that is missing."""
    levels = (
        {"sse4_2", "popcnt"},
        {"avx2", "fma", "bmi2"},
        {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
        {"avx512_vnni"},
    )
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    missing = [level for level, needed in zip(X86_LEVELS, levels, strict=True) if needed - flags]
    below = X86_LEVELS.index(missing[0]) if missing else len(X86_LEVELS)
    assert this_processor() == X86_LEVELS[below - 1]
