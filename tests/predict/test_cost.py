"""What a call takes on a device."""

from dataclasses import replace

import pytest

from lcp_tvm.plan.plan import Cost, Function
from lcp_tvm.predict.cluster import Device
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.predict.kinds import KINDS, Kind

KIND = Kind(
    name="board",
    clock_mhz=100,
    cores=4,
    float32_macs=2e6,
    int8_macs=8e6,
    elements=1e6,
    extra_core=0.5,
    overhead_ms=3.0,
    memory_mb=64,
)
DEVICE = Device("d", KIND, cores=1, clock_mhz=100, memory_mb=64)


def function(macs: int = 0, *, integer: int = 0, elements: int = 0) -> Function:
    return Function((), (), Cost(macs=macs, integer_macs=integer, elements=elements))


def test_calls_cost_something() -> None:
    assert call_ms(function(), DEVICE) == 3.0


def test_each_kind_of_work_adds_up() -> None:
    """3 ms the call, 2 ms float, 1 ms int8, 5 ms elements."""
    assert call_ms(function(12_000, integer=8_000, elements=5_000), DEVICE) == 3 + 2 + 1 + 5


def test_more_cores_share_the_work_but_not_the_call() -> None:
    """Three cores with half a core's worth for each beyond the first are worth two."""
    assert call_ms(function(40_000), replace(DEVICE, cores=3)) == 3 + 20 / 2


@pytest.mark.parametrize("faster", [replace(DEVICE, clock_mhz=200), replace(DEVICE, speed=2.0)])
def test_clock_and_speed_scale_everything(faster: Device) -> None:
    assert call_ms(function(40_000), faster) == (3 + 20) / 2


def test_a_measured_time_wins() -> None:
    measured = replace(function(40_000), measured_ms={"board": 7.0, "other": 1.0})
    assert call_ms(measured, DEVICE) == 7.0
    assert call_ms(measured, replace(DEVICE, speed=0.5)) == 14.0


def test_times_of_other_kinds_do_not_count() -> None:
    assert call_ms(replace(function(), measured_ms={"other": 1.0}), DEVICE) == 3.0


def test_resnet18_on_the_vta_takes_what_the_simulator_says() -> None:
    """1,814 MMAC in 103.7 ms (benchmarks/networks.csv), within 2 %."""
    kind = KINDS["pynq_z1"]
    board = Device("b", kind, kind.cores, kind.clock_mhz, kind.memory_mb)
    ms = call_ms(function(1_814_100_000, integer=1_814_100_000), board)
    assert ms == pytest.approx(103.7, rel=0.02)


def test_vgg16_on_a_raspberry_pi_takes_what_lcp_measured() -> None:
    """15.5 GMAC on all four cores in 9.4 s (figure 12), within 2 %."""
    kind = KINDS["rpi3"]
    board = Device("b", kind, kind.cores, kind.clock_mhz, kind.memory_mb)
    assert call_ms(function(15_500_000_000), board) == pytest.approx(9400, rel=0.02)
