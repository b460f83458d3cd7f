"""Which functions of a plan become one module: those that the same devices run.

So a device loads only what it runs, and functions with the same weights, such as the tiles of a
grid, are one module that holds them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lcp_tvm.cpu.target import Target
from lcp_tvm.devices import devices_text
from lcp_tvm.plan.plan import GATEWAY, Device, Plan
from lcp_tvm.targets import Targets

MAX_NAME = 40
ANYWHERE = "anywhere"
"""Stands for the devices of tasks that are bound to none."""


@dataclass(frozen=True, slots=True)
class Group:
    """A module to be: its name, target and functions."""

    name: str
    target: Target
    functions: tuple[str, ...]


def group_functions(plan: Plan, targets: Targets) -> tuple[Group, ...]:
    """Return the modules of a plan, in the order of their first tasks.

    A function is in a module for every target that it is needed for: unbound tasks may run
    anywhere, so theirs are for all targets.
    """
    places = _places(plan)
    found: dict[tuple[str, frozenset[Device | None]], list[str]] = {}
    wanted = targets.for_plan(plan)
    for function, devices in places.items():
        for target in wanted:
            own = frozenset(
                device
                for device in devices
                if device is None or targets.of(device).text == target.text
            )
            if own:
                key = frozenset((None,)) if None in own else own
                found.setdefault((target.text, key), []).append(function)
    by_text = {target.text: target for target in wanted}
    groups: list[Group] = []
    names: set[str] = set()
    for (text, users), functions in found.items():
        name = functions[0] if len(functions) == 1 else _devices_name(users)
        if name in names and len(wanted) > 1:
            name += "-" + re.sub("[^A-Za-z0-9]+", "_", text)[-MAX_NAME:]
        name = _unique(name, names)
        names.add(name)
        groups.append(Group(name, by_text[text], tuple(functions)))
    return tuple(groups)


def _places(plan: Plan) -> dict[str, set[Device | None]]:
    """Return the devices that call each function; None for any."""
    places: dict[str, set[Device | None]] = {}
    for task in plan.tasks:
        functions = [task.function, *([task.fallback.function] if task.fallback else ())]
        for function in functions:
            places.setdefault(function, set()).update(_devices(plan, task.device))
    return places


def _devices(plan: Plan, device: Device | None) -> Iterable[Device | None]:
    """Return the numbers that a device has in every replica."""
    if isinstance(device, int):
        return (replica * plan.devices + device for replica in range(plan.replicas))
    return (device,)


def _devices_name(devices: frozenset[Device | None]) -> str:
    """Return devices as a name: ``device_2``, ``devices_0-3_gateway``, ``anywhere``."""
    text = devices_text(devices).replace(", ", "_")
    if None in devices:
        return ANYWHERE
    if devices == {GATEWAY}:
        return text
    return f"device{'s' if len(devices) > 1 else ''}_{text}"[:MAX_NAME]


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    return candidate
