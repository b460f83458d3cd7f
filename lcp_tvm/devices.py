"""Devices of a plan as people write them."""

from __future__ import annotations

from collections.abc import Iterable

from lcp_tvm.plan.plan import GATEWAY, Device

ANY = "any"
"""Stands for the device of tasks that are bound to none."""


def device_order(device: Device | None) -> tuple[int, int]:
    """Numbers first, then the gateway, then tasks that are bound to no device."""
    if isinstance(device, int):
        return 0, device
    return (1 if device == GATEWAY else 2), 0


def devices_text(devices: Iterable[Device | None]) -> str:
    """Return devices as people write them: ``0-3, 5, gateway``."""
    numbers: list[list[int]] = []
    others = []
    for device in sorted(devices, key=device_order):
        if not isinstance(device, int):
            others.append(ANY if device is None else device)
        elif numbers and device == numbers[-1][1] + 1:
            numbers[-1][1] = device
        else:
            numbers.append([device, device])
    ranges = [f"{low}-{high}" if low < high else str(low) for low, high in numbers]
    return ", ".join((*ranges, *others))
