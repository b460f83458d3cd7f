"""What `benchmarks/cpu.py --memory` counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cpu.judge.contenders import Array
from tests.cpu.judge.resident import Growth, in_new_process

MB = 64


def briefly(_: Path, x: Array) -> float:
    """Takes 64 MB and gives them back."""
    growth = Growth()
    del x
    np.ones(MB * 10**6, np.uint8)
    return growth.peak_mb()


def before(_: Path, x: Array) -> float:
    """Takes 64 MB, and nothing from the beginning on."""
    taken = np.ones(MB * 10**6, np.uint8)
    growth = Growth()
    assert taken[-1] == x[0]
    return growth.peak_mb()


def test_memory_counts_that_was_given_back() -> None:
    assert in_new_process(briefly, Path(), np.ones(1)) == pytest.approx(MB, abs=8)


def test_memory_of_before_does_not_count() -> None:
    assert in_new_process(before, Path(), np.ones(1)) == pytest.approx(0, abs=8)
