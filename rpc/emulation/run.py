"""Frames of a package on emulated boards, beside what the predictor says of the same cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lcp_tvm.errors import InputError
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.predict.cluster import Cluster as Described
from lcp_tvm.predict.rules import OURS
from lcp_tvm.predict.trace import Span
from lcp_tvm.rpc.bench import Bench, Load, Measured, measure, predicted_for, random_inputs
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.emulation.boards import emulated_boards, shared_cores
from lcp_tvm.rpc.emulation.pace import pace_of, slow_motion, slowed
from lcp_tvm.rpc.emulation.switch import CONGESTION, MTU
from lcp_tvm.rpc.launch import Progress
from lcp_tvm.rpc.settings import Settings

LATE_SHARE = 0.01
"""Of the median latency; when a call or the network was later than that, a run does not count."""

SILENCE_S = 60.0
"""A PONG may wait long behind data."""

PATIENCE = 10
"""A frame fails that takes so many times longer than all frames were predicted to take."""


class LateError(InputError):
    """This machine was too slow for a run to count; at ``factor`` it may do."""

    def __init__(self, message: str, factor: float) -> None:
        super().__init__(message)
        self.factor = factor


def emulate(
    package: Package,
    cluster: Described,
    load: Load,
    policy: Policy | None,
    factor: float | None,
    trace: bool,
    progress: Progress,
) -> Bench:
    """Run frames on emulated boards.

    Parameters
    ----------
    factor : of the slow motion; None takes the least that should do.

    Raises
    ------
    InputError
        This machine cannot emulate boards, or was too slow.
    PackageError
        The package is not for this machine's processor.
    WorkerError
        A frame failed.
    """
    plan = package.plan()
    predicted = predicted_for(plan, cluster, load, policy)
    if factor is None:
        factor = slow_motion(plan, cluster, len(shared_cores()[1]), load.in_flight)
    settings = Settings(
        policy=policy,
        sources=load.sources,
        in_flight=load.in_flight,
        deadline_s=PATIENCE * factor * (1 + predicted.makespan_ms / 1e3),
        silence_s=factor * SILENCE_S,
        recovery_s=0,
        trace=trace,
        pace=pace_of(plan, cluster, factor, OURS),
    )
    slow = replace(cluster, network=slowed(cluster.network, factor))
    progress("starting boards", 0.05)
    with emulated_boards(slow) as (workers, network):

        async def run() -> Measured:
            async with Cluster(package, workers, settings, progress=progress) as opened:
                network.limit()
                progress(f"running, {factor:g} times slower", 0.5)
                return await measure(opened, random_inputs(plan), load)

        measured = in_board_time(asyncio.run(run()), factor)
    late_ms = max(measured.statistics.late_ms, network.tally.late_ms / factor)
    check(measured.latency_ms.p50, late_ms, network.tally.dropped, factor)
    switch = "a real-time switch" if network.real_time else "a switch without priority"
    conditions = (
        f"emulated on {switch}: {CONGESTION}, frames of {MTU} bytes; slow motion {factor:g}, "
        f"at most {late_ms:.2f} ms late"
    )
    return Bench(measured, predicted, "emulated", conditions)


def check(median_ms: float, late_ms: float, dropped: int, factor: float) -> None:
    """See whether boards and network kept their time.

    Parameters
    ----------
    median_ms : of the latencies; this and ``late_ms``, the most by which anything was late, in the
        boards' time.
    dropped : frames of the network.

    Raises
    ------
    LateError
        They did not.
    InputError
        The network lost something.
    """
    if late_ms > LATE_SHARE * median_ms:
        raise LateError(
            f"emulation: this machine was {late_ms:.1f} ms late in a frame of {median_ms:.1f} ms, "
            f"so the run does not count; give --slow-motion {2 * factor:g}, or stop what else runs",
            2 * factor,
        )
    if dropped:
        raise InputError(
            f"emulation: the switch dropped {dropped} frames, so the run does not count; take "
            "fewer frames --in-flight"
        )


def in_board_time(measured: Measured, factor: float) -> Measured:
    """Return what was measured in slow motion as the boards would have seen it."""
    found = measured.statistics

    def span(each: Span) -> Span:
        return replace(each, start_us=each.start_us / factor, duration_us=each.duration_us / factor)

    uses = tuple(
        replace(
            use,
            compute_ms=use.compute_ms / factor,
            wait_ms=use.wait_ms / factor,
            transfer_ms=use.transfer_ms / factor,
        )
        for use in found.uses
    )
    statistics = replace(
        found,
        frames=tuple(replace(f, latency_ms=f.latency_ms / factor) for f in found.frames),
        uses=uses,
        spans=tuple(map(span, found.spans)),
        late_ms=found.late_ms / factor,
    )
    latencies = tuple(latency / factor for latency in measured.latencies_ms)
    return Measured(latencies, measured.makespan_ms / factor, statistics)
