"""Some hundred frames under random kills; `benchmarks/chaos.py` runs ten thousand."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from lcp_tvm.plan.plan import Policy
from tests.rpc.chaos import run_under_chaos
from tests.rpc.processes import worker_processes
from tests.rpc.split_packages import compute_answers, split_package

LIMIT_S = 180.0


@pytest.mark.parametrize(
    ("split", "policy"),
    [("ftp:3x3@3:reuse", "stealing"), ("ftp:3x3@3", "static"), ("pipeline:3", "static")],
)
def test_every_frame_is_right_or_reported_failed(
    split: str, policy: Policy, tmp_path: Path
) -> None:
    package = split_package(split, tmp_path)
    answers = compute_answers(package, 16)
    threads = threading.enumerate()
    with worker_processes(4) as workers:
        story = run_under_chaos(package, answers, workers, policy, frames=120, mean_s=0.2)
        tally = asyncio.run(asyncio.wait_for(story, LIMIT_S))
    assert tally.wrong == []
    assert tally.late == []
    assert tally.frames == 120
    assert tally.right > 0
    assert tally.kills + tally.session_kills + tally.freezes > 0
    assert not [thread for thread in threading.enumerate() if thread not in threads]
