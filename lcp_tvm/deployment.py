"""Which worker runs which task of a package, and what each has to load for that.

Device d is worker d, and the gateway is the one after the last device; where there are fewer
workers they are taken in turn. Tasks that are bound to no device are dealt out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import Module
from lcp_tvm.plan.plan import GATEWAY, Device, Plan


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where everything runs.

    Attributes
    ----------
    workers : by replica, the worker of every task.
    modules : by worker, the names of the modules that it loads.
    """

    workers: tuple[tuple[int, ...], ...]
    modules: tuple[tuple[str, ...], ...]


def deploy(
    plan: Plan,
    modules: Mapping[str, Module],
    count: int,
    target_of: Callable[[Device], str],
) -> Deployment:
    """Deal the tasks of a plan out to workers.

    Parameters
    ----------
    count : of workers.
    target_of : the target of a device, as the modules have it.

    Raises
    ------
    PackageError
        No module has a function for the target of a device.
    """
    offers = {
        (function, module.target): name
        for name, module in modules.items()
        for function in module.functions
    }
    workers = []
    wanted: list[dict[str, str]] = [{} for _ in range(count)]
    for replica in range(plan.replicas):
        devices = place_tasks(plan, replica)
        numbers = tuple(
            (plan.devices * plan.replicas if device == GATEWAY else device) % count
            for device in devices
        )
        for task, device, number in zip(plan.tasks, devices, numbers, strict=True):
            key = (task.function, target_of(device))
            if key not in offers:
                raise PackageError(
                    f"function '{key[0]}' of task '{task.name}': no module has it for {key[1]}; "
                    "the file is corrupt, compile the network again"
                )
            wanted[number].setdefault(task.function, offers[key])
        workers.append(numbers)
    modules_of = tuple(tuple(dict.fromkeys(names.values())) for names in wanted)
    return Deployment(tuple(workers), modules_of)


def place_tasks(plan: Plan, replica: int) -> Sequence[Device]:
    """Return the device of every task of a replica; unbound tasks are dealt out in turn."""
    first = replica * plan.devices
    places: list[Device] = []
    dealt = 0
    for task in plan.tasks:
        device = task.device
        if device is None:
            device, dealt = dealt % plan.devices, dealt + 1
        places.append(device if device == GATEWAY else first + device)
    return places
