"""The simulator's time is the board's: ten convolutions that were measured on a PYNQ.

Their schedules and times are in TVM's public schedule log, whose lines for ResNet-18 are in
``resnet18_on_pynq.csv``. The model's constants are vta.md "Time".
"""

import csv
from pathlib import Path

import pytest

from lcp_tvm.vta.config import load_config
from tests.vta.upstream import Measured, run

PYNQ = load_config("pynq_z1")
LOG = Path(__file__).with_name("resnet18_on_pynq.csv")


def measured() -> list[Measured]:
    lines = (line for line in LOG.read_text().splitlines() if not line.startswith("#"))
    return [
        Measured(seconds=float(row.pop("seconds")), **{key: int(row[key]) for key in row})
        for row in csv.DictReader(lines)
    ]


@pytest.mark.parametrize(
    "conv", measured(), ids=lambda c: f"{c.in_blocks}-{c.out_blocks}-{c.size}-{c.kernel}"
)
def test_the_simulator_takes_as_long_as_the_board(conv: Measured) -> None:
    assert run(conv, PYNQ).ms == pytest.approx(1e3 * conv.seconds, rel=5e-3)


def test_the_streams_do_what_upstreams_do() -> None:
    """Sums of the 19 convolutions that upstream puts on VTA, in the numbers of vta.md "Time"."""
    times = {(4, 4): 4, (8, 8): 3, (16, 16): 3, (32, 32): 3}
    stats = [
        (times.get((conv.in_blocks, conv.out_blocks), 1), run(conv, PYNQ)) for conv in measured()
    ]
    assert sum(count for count, _ in stats) == 19
    moved = {
        name: sum(count * one.bytes[name] for count, one in stats) / 1e6
        for name in ("INP", "WGT", "OUT")
    }
    assert moved == pytest.approx({"INP": 5.5, "WGT": 12.8, "OUT": 1.7}, abs=0.05)
    resets = 105_056  # one for each output element
    assert sum(count * one.gemm_uops for count, one in stats) == 6_623_232 + resets
