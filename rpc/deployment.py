"""Which modules of a package each node has to load.

A node loads what it may ever run: the functions of the tasks that are bound to it, and those of
tasks that are bound to none. So no loss of another node makes it load anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import Module
from lcp_tvm.plan.plan import GATEWAY, Device, Plan, Task
from lcp_tvm.predict.placement import Machines, bound_machine, group
from lcp_tvm.rpc.routes import turns_of


def deploy(
    plan: Plan,
    modules: Mapping[str, Module],
    machines: Machines,
    target_of: Callable[[Device], str],
) -> tuple[tuple[str, ...], ...]:
    """Return the names of the modules that each node loads, the gateway's last.

    Parameters
    ----------
    target_of : the target of a device of the plan, as the modules have it.

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
    count = max(machines.devices, machines.gateway + 1)
    wanted: list[dict[str, str]] = [{} for _ in range(count)]
    for task, node, device in _runs(plan, machines):
        for function in _functions(task):
            key = (function, target_of(device))
            if key not in offers:
                raise PackageError(
                    f"function '{function}' of task '{task.name}': no module has it for {key[1]}; "
                    "the file is corrupt, compile the network again"
                )
            wanted[node].setdefault(function, offers[key])
    return tuple(tuple(dict.fromkeys(names.values())) for names in wanted)


def _runs(plan: Plan, machines: Machines) -> Iterator[tuple[Task, int, Device]]:
    """Yield where each task may run: the node, and the device of the plan that it stands for."""
    for turn in range(turns_of(plan, machines.devices)):
        replica = turn % plan.replicas
        for task in plan.tasks:
            node = bound_machine(plan, machines, task, turn)
            if node is None:
                yield from ((task, other, other) for other in group(plan, machines, turn))
            elif task.device == GATEWAY:
                yield task, node, GATEWAY
            else:
                assert isinstance(task.device, int)
                yield task, node, replica * plan.devices + task.device


def _functions(task: Task) -> tuple[str, ...]:
    if task.fallback is None:
        return (task.function,)
    return (task.function, task.fallback.function)
