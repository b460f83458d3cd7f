"""What a plan would cost on a cluster that nobody needs to own."""

from __future__ import annotations

from lcp_tvm.errors import InputError
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Cost, Plan, Policy
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.flow import FlowSimulation
from lcp_tvm.predict.lock_step import LockStepSimulation
from lcp_tvm.predict.placement import shortage
from lcp_tvm.predict.prediction import DeviceUse, Prediction, latency_of
from lcp_tvm.predict.rules import OURS, Rules
from lcp_tvm.predict.sharing import SharingSimulation
from lcp_tvm.predict.simulation import Load
from lcp_tvm.predict.stealing import StealingSimulation

MIB = 1 << 20


def predict(
    plan: Plan,
    cluster: Cluster,
    *,
    frames: int = 1,
    policy: Policy | None = None,
    in_flight: int = 1,
    period_ms: float | None = None,
    rules: Rules = OURS,
    seed: int = 0,
    trace: bool = False,
) -> Prediction:
    """Simulate a plan on a cluster.

    The same arguments give the same prediction.

    Parameters
    ----------
    plan : a valid one.
    frames : how many to compute.
    policy : the plan's own by default. ``static`` runs tasks where they are bound, or else where
        each ends first; ``sharing`` deals unbound tasks out in turn and passes all data through
        the gateway, one frame at a time; ``stealing`` lets idle devices fetch tasks from the
        frame's source.
    in_flight : frames that there are at a time: a new one comes when one is done.
    period_ms : between frames, in place of ``in_flight``.
    rules : of work sharing and stealing.
    seed : of the network's jitter.
    trace : whether to keep the timeline.

    Raises
    ------
    InputError
        An argument out of range.
    PlanError
        A task reads what a later one writes.
    """
    if frames < 1 or in_flight < 1 or (period_ms is not None and period_ms < 0):
        raise InputError("at least one frame, one in flight, and no negative period")
    policy = policy or plan.policy
    reads = find_reads(plan)
    load = Load(frames, in_flight, period_ms, serial=policy == "sharing")
    simulation: FlowSimulation
    if policy == "stealing":
        simulation = StealingSimulation(
            plan, cluster, reads, load, rules=rules, seed=seed, trace=trace
        )
    else:
        simulate = FlowSimulation
        if policy == "sharing":
            simulate = LockStepSimulation if rules.lock_step else SharingSimulation
        simulation = simulate(plan, cluster, reads, load, seed=seed, trace=trace)
    makespan = simulation.run()
    return Prediction(
        plan=plan.name,
        split=plan.split,
        cluster=cluster.name,
        policy=policy,
        frames=frames,
        makespan_ms=makespan,
        latencies_ms=tuple(simulation.latencies_ms),
        latency_ms=latency_of(simulation.latencies_ms),
        frames_per_second=1e3 * frames / makespan if makespan else float("inf"),
        links=_links(simulation, cluster),
        messages=simulation.links.messages,
        devices=_devices(simulation, plan, cluster, makespan),
        notes=(*batch_notes(plan), *_unknown_costs(plan), *shortage(plan, cluster)),
        spans=tuple(simulation.spans or ()),
    )


def batch_notes(plan: Plan) -> list[str]:
    """Say what a frame is where it is not one picture."""
    return [f"a frame is {plan.batch} pictures, computed together"] if plan.batch > 1 else []


def _unknown_costs(plan: Plan) -> list[str]:
    """Say which functions count for nothing, as those of operators that no split knows."""
    return [
        f"what {name} costs is not known, so it is taken for nothing: times are too short"
        for name, function in plan.functions.items()
        if function.cost == Cost() and not function.measured_ms
    ]


def _links(simulation: FlowSimulation, cluster: Cluster) -> dict[tuple[str, str], int]:
    names = [machine.name for machine in cluster.machines]
    pairs = [(sender, receiver) for sender in names for receiver in names]
    sent = zip(pairs, simulation.links.sent_bytes, strict=True)
    return {pair: nbytes for pair, nbytes in sent if nbytes}


def _devices(
    simulation: FlowSimulation, plan: Plan, cluster: Cluster, makespan_ms: float
) -> tuple[DeviceUse, ...]:
    sent = simulation.links.sent_bytes
    count = len(cluster.machines)
    uses = []
    for number, (machine, board) in enumerate(
        zip(cluster.machines, simulation.boards, strict=True)
    ):
        weights = plan.weight_bytes(board.functions)
        uses.append(
            DeviceUse(
                name=machine.name,
                kind=machine.kind.name,
                busy_ms=board.busy_ms,
                wait_ms=makespan_ms - board.busy_ms,
                utilisation=board.busy_ms / makespan_ms if makespan_ms else 0.0,
                memory_bytes=weights + board.peak_bytes,
                memory_limit_bytes=int(machine.memory_mb * MIB),
                macs=board.macs,
                fallbacks=board.fallbacks,
                sent_bytes=sum(sent[number * count : (number + 1) * count]),
                received_bytes=sum(sent[number::count]),
            )
        )
    return tuple(uses)
