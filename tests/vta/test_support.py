"""A refusal says what was found and what the rule is; the page of rules is up to date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.layer import Slope
from lcp_tvm.vta.support import supported_ops_page
from tests.vta import builders

PYNQ = load_config("pynq_z1")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (
            builders.conv(RNG, (16, 9, 9), 4, (1, 1), skip_shift=23),
            "a shift of 23 (A second operand is shifted left by 0 to 22 bits, so that 32 bits",
        ),
        (
            builders.conv(RNG, (16, 9, 9), 4, (1, 1), slope=Slope(6, 6, 32)),
            "a slope of (6 q + 32) / 2^6 (Leaky ReLU's slope is an odd number below 128",
        ),
        (
            builders.conv(RNG, (16, 64, 64), 4, (50, 50)),
            "a kernel of 50x50 on 64x64 pixels",
        ),
        (
            builders.conv(RNG, (3, 56, 56), 3, (7, 7), groups=3),
            "ms, on the Cortex-A9 ",
        ),
    ],
)
def test_refused_convolutions_say_why(module: tvm.IRModule, reason: str) -> None:
    partition = partition_vta(module, PYNQ)
    (line,) = (line for line in partition.reasons if line.startswith("conv2d"))
    assert reason in line


def test_a_refused_pooling_says_why() -> None:
    module = builders.max_pool(
        (16, 64, 64), (50, 50), stride=(1, 1), padding=(0, 0, 0, 0), ceil_mode=False
    )
    (line,) = partition_vta(module, PYNQ).reasons
    assert "a window of 50x50" in line


def test_page_of_supported_operators_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "supported_ops.md"
    assert page.read_text() == supported_ops_page()
