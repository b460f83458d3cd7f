"""What emulated boards are told, and how slow their world must go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.predict.cluster import Jitter, Network
from lcp_tvm.predict.cost import call_ms
from lcp_tvm.predict.rules import Rules
from lcp_tvm.rpc.emulation import pace
from lcp_tvm.rpc.emulation.pace import pace_of, slow_motion, slowed
from tests.predict.small import cluster, plan, region, task


def halves(*ms: int) -> list[object]:
    parts = [(64 * number, 64 * number + 64) for number in range(len(ms))]
    return [
        task(f"t{n}", took, [region("x", *part)], [region("y", *part)])
        for n, (took, part) in enumerate(zip(ms, parts, strict=True))
    ]


PLAN = plan(*halves(3, 5))  # type: ignore[arg-type]


def test_every_machine_has_a_time_for_every_function() -> None:
    """Machines of a MAC per ms, three times slower; the client computes nothing."""
    found = pace_of(PLAN, cluster(2, gateway=True), 3, Rules(poll_ms=10, patience_ms=200))
    assert found.board_ms == ((9, 15), (9, 15), (9, 15), (0, 0))
    assert (found.poll_ms, found.patience_ms) == (30, 600)


def test_a_network_in_slow_motion_takes_as_many_times_longer() -> None:
    network = Network("shared", 62, 4, 2, Jitter("lognormal", 0.3, 1.0))
    slow = slowed(network, 4)
    assert slow.air_ms(1000) == pytest.approx(4 * network.air_ms(1000))
    assert (slow.latency_ms, slow.jitter) == (16, Jitter("lognormal", 1.2, 1.0))


def test_boards_that_are_slower_than_this_machine_keep_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "CPU_MACS", 1e6)  # a board does 1e3
    assert slow_motion(PLAN, cluster(6), cores=1) == 1


@pytest.mark.parametrize(
    ("devices", "cores", "in_flight", "factor"),
    [(1, 1, 1, 3.0), (6, 1, 1, 5.5), (6, 2, 1, 3.0), (6, 1, 3, 16.0)],
)
def test_boards_together_must_not_outrun_the_cores(
    monkeypatch: pytest.MonkeyPatch, devices: int, cores: int, in_flight: int, factor: float
) -> None:
    """Each needs two cores; the two tasks of a frame keep two of them busy."""
    monkeypatch.setattr(pace, "CPU_MACS", 0.5e3)
    assert slow_motion(PLAN, cluster(devices), cores, in_flight) == factor
    assert 2 * 1.3 * min(devices, 2 * in_flight) / cores <= factor


def test_simulated_programs_have_a_rate_of_their_own() -> None:
    function = next(iter(PLAN.functions.values()))
    on_vta = replace(function, measured_ms={"pynq_z1": 7.0})
    assert pace.host_ms(on_vta) < pace.host_ms(function)
    assert call_ms(function, cluster(1).devices[0]) == 3
