"""The self-test's program compiles for every config, and runs on its simulator."""

from __future__ import annotations

import numpy as np
import pytest
import tvm_ffi

from lcp_tvm.board.self_test import self_test
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.simulator import load_program_bytes, parse_stats


@pytest.mark.parametrize("config", ["pynq_z1", "ultra96", "zcu104"])
def test_it_runs_and_its_answers_are_not_trivial(config: str) -> None:
    module = load_program_bytes(self_test(load_config(config)))
    x = np.random.default_rng(0).integers(-128, 128, (1, 64, 28, 28), dtype=np.int8)
    y = np.zeros((1, 64, 14, 14), dtype=np.int8)
    module["self_test"](tvm_ffi.from_dlpack(x), tvm_ffi.from_dlpack(y))
    assert len(np.unique(y)) > 100
    stats = parse_stats(module["lcp_tvm.stats"]("self_test"))
    assert stats.ms < 4
    assert min(stats.units.values()) > 0


def test_it_is_the_same_each_time() -> None:
    assert self_test(load_config("pynq_z1")) == self_test(load_config("pynq_z1"))
