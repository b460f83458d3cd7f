"""Which machine runs which task, when that is settled before the frame comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lcp_tvm.plan.pieces import FRAME, Reads
from lcp_tvm.plan.plan import GATEWAY, Plan, Task
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.cost import call_ms


@dataclass(frozen=True, slots=True)
class Machines:
    """What a plan runs on: devices from 0, and the gateway's number.

    Attributes
    ----------
    lost : devices that take no tasks any more.
    """

    devices: int
    gateway: int
    lost: frozenset[int] = frozenset()


def machines_of(cluster: Cluster) -> Machines:
    """Return the machines of a cluster."""
    return Machines(len(cluster.devices), cluster.gateway_number)


def bound_machine(plan: Plan, machines: Machines, task: Task, replica: int) -> int | None:
    """Return the machine that a task is bound to; None when it may run anywhere.

    A plan for more devices than there are shares them out in turn.
    """
    if task.device is None:
        return None
    if task.device == GATEWAY:
        return machines.gateway
    return (replica * plan.devices + task.device) % machines.devices


def group(plan: Plan, machines: Machines, replica: int) -> list[int]:
    """Return the devices that tasks of a replica may run on; all when there is only one."""
    if plan.replicas == 1:
        numbers = set(range(machines.devices))
    else:
        first = replica * plan.devices
        numbers = {number % machines.devices for number in range(first, first + plan.devices)}
    return sorted(numbers - machines.lost)


def deal_out(plan: Plan, machines: Machines, replica: int) -> list[int]:
    """Give unbound tasks to devices in turn: work sharing."""
    devices = group(plan, machines, replica)
    placement = []
    dealt = 0
    for task in plan.tasks:
        machine = bound_machine(plan, machines, task, replica)
        if machine is None:
            machine = devices[dealt % len(devices)]
            dealt += 1
        placement.append(machine)
    return placement


def place_earliest(
    plan: Plan,
    cluster: Cluster,
    reads: Reads,
    replica: int,
    source: int,
    lost: frozenset[int] = frozenset(),
) -> list[int]:
    """Give each unbound task to the device that ends it first: list scheduling in plan order.

    Transfers count, and on a shared medium wait for each other; jitter and the queues of a
    switch do not. Of equals the lowest number wins. Devices that are lost take none.
    """
    numbers = replace(machines_of(cluster), lost=lost)
    if all(task.device is not None for task in plan.tasks):
        return deal_out(plan, numbers, replica)
    devices = group(plan, numbers, replica)
    network = cluster.network
    free = [0.0] * len(cluster.machines)
    air_free = 0.0
    placement: list[int] = []
    ends: list[float] = []
    for task, found in zip(plan.tasks, reads.tasks, strict=True):
        wanted: dict[int, int] = {}
        for producer, region in (piece for pieces in found for piece in pieces):
            wanted[producer] = wanted.get(producer, 0) + plan.nbytes(region)
        bound = bound_machine(plan, numbers, task, replica)
        best: tuple[float, int, float] | None = None
        for machine in devices if bound is None else [bound]:
            ready, air = 0.0, air_free
            for producer, nbytes in wanted.items():
                end = 0.0 if producer == FRAME else ends[producer]
                if machine != (source if producer == FRAME else placement[producer]):
                    begin = max(end, air) if network.medium == "shared" else end
                    end = begin + network.air_ms(nbytes)
                    air = end
                    end += network.latency_ms
                ready = max(ready, end)
            device = cluster.machines[machine]
            end = max(ready, free[machine]) + call_ms(plan.functions[task.function], device)
            if best is None or end < best[0]:
                best = (end, machine, air)
        assert best is not None
        end, machine, air_free = best
        free[machine] = end
        ends.append(end)
        placement.append(machine)
    return placement


def shortage(plan: Plan, cluster: Cluster) -> Sequence[str]:
    """Return what the user should know of a plan for more devices than there are."""
    numbers = [task.device for task in plan.tasks if isinstance(task.device, int)]
    wanted = (plan.replicas - 1) * plan.devices + max(numbers, default=-1) + 1
    have = len(cluster.devices)
    if wanted <= have:
        return ()
    return (
        f"the plan is for {wanted} devices and the cluster has {have}: some take several parts",
    )
