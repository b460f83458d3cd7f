"""A target for every device: what ``--target`` may say for a split network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lcp_tvm.cpu.target import Target, parse_target
from lcp_tvm.errors import InputError
from lcp_tvm.plan.plan import GATEWAY, Device, Plan

MAX_DEVICE = 9_999
_EXCEPTION = re.compile(rf"(?:({GATEWAY})|(\d{{1,9}})(?:-(\d{{1,9}}))?)=(.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Targets:
    """The target of most devices, and those of the others."""

    default: Target
    others: Mapping[Device, Target] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Target, ...]:
        """All targets."""
        return (self.default, *self.others.values())

    @property
    def text(self) -> str:
        """The targets as the user may write them; the same for the same targets."""
        numbers = sorted(device for device in self.others if isinstance(device, int))
        devices: list[Device] = [*numbers, *(d for d in self.others if d == GATEWAY)]
        return ",".join(
            (self.default.text, *(f"{device}={self.others[device].text}" for device in devices))
        )

    def of(self, device: Device) -> Target:
        """Return a device's target."""
        return self.others.get(device, self.default)

    def for_plan(self, plan: Plan) -> tuple[Target, ...]:
        """Return every target of a plan's devices and gateway, each once, the default first.

        Raises
        ------
        InputError
            A device that the plan does not have has a target.
        """
        count = plan.devices * plan.replicas
        for device in self.others:
            if isinstance(device, int) and device >= count:
                raise InputError(
                    f"--target {self.text}: there is no device {device}; split {plan.split} has "
                    f"devices 0 to {count - 1} and the gateway"
                )
        used = {self.of(device).text for device in (*range(count), GATEWAY)}
        targets = {target.text: target for target in (self.default, *self.others.values())}
        return tuple(target for text, target in targets.items() if text in used)


def parse_targets(text: str) -> Targets:
    """Read a target, and ``,DEVICE=TARGET`` for devices that have another.

    A device is a number, a range ``2-5``, or ``gateway``; see `parse_target` for targets.

    Raises
    ------
    InputError
        A device or target is wrong, or a device is there twice.
    """
    first, *rest = text.split(",")
    default = parse_target(first)
    others: dict[Device, Target] = {}
    for part in rest:
        found = _EXCEPTION.fullmatch(part.strip())
        if found is None:
            raise InputError(
                f"--target {text[:80]!r}: {part[:40]!r} is not DEVICE=TARGET; write exceptions as "
                "in 'vta,gateway=arm:rpi4,2-3=arm:rpi3'"
            )
        target = parse_target(found[4])
        for device in _devices(found, text):
            if device in others:
                raise InputError(f"--target {text[:80]!r}: device {device} is there twice")
            others[device] = target
    return Targets(default, {d: t for d, t in others.items() if t.text != default.text})


def _devices(found: re.Match[str], text: str) -> tuple[Device, ...]:
    if found[1]:
        return (GATEWAY,)
    first = int(found[2])
    last = int(found[3] or first)
    if not first <= last <= MAX_DEVICE:
        raise InputError(
            f"--target {text[:80]!r}: devices {first} to {last}: give the smaller number first; "
            f"allowed are 0 to {MAX_DEVICE}"
        )
    return tuple(range(first, last + 1))
