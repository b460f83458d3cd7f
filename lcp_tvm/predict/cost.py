"""How long a call of a function takes on a device."""

from __future__ import annotations

from lcp_tvm.plan.plan import Function
from lcp_tvm.predict.cluster import Device


def call_ms(function: Function, device: Device) -> float:
    """Return the time of a call in milliseconds.

    A time that was measured on this kind of device wins; it holds for one core at the kind's
    clock. Else each kind of work adds up: the call itself, multiply-accumulates, elements.
    """
    kind = device.kind
    pace = device.speed * device.clock_mhz / kind.clock_mhz
    measured = function.measured_ms.get(kind.name)
    if measured is not None:
        return measured / pace
    cost = function.cost
    floats = cost.macs - cost.integer_macs
    one_core_ms = 1e3 * (
        floats / kind.float32_macs
        + cost.integer_macs / kind.int8_macs
        + cost.elements / kind.elements
    )
    cores = 1 + (device.cores - 1) * kind.extra_core
    return (kind.overhead_ms + one_core_ms / cores) / pace
