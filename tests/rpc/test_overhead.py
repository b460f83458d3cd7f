"""What a run costs beside a bare socket on the same machine, in the same minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rpc.overhead import LARGE, TENSOR, measure_overhead

ATTEMPTS = 5
"""Of which one has to hold all bounds: others' work on this machine only makes things slower."""


@pytest.mark.slow
def test_tensors_move_as_by_a_bare_socket_and_tasks_cost_little(tmp_path: Path) -> None:
    missed = []
    for _ in range(ATTEMPTS):
        overhead = measure_overhead(tmp_path, rounds=5)
        ours, bare = overhead.gigabytes_per_second(LARGE)
        if (
            overhead.ratio(TENSOR) <= 1.5
            and overhead.empty <= 300.0
            and ours >= min(1.0, 0.7 * bare)
        ):
            return
        missed.append(overhead)
    pytest.fail("\n".join(map(str, missed)))
