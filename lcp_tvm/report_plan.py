"""What a plan costs: by function, and by device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lcp_tvm.devices import device_order, devices_text
from lcp_tvm.plan.edges import crossings
from lcp_tvm.plan.plan import Device, Plan, Task, Tensor


@dataclass(frozen=True, slots=True)
class FunctionCost:
    """One call of a function.

    Attributes
    ----------
    tasks : calls per frame; 0 for a function that only stands in for another.
    devices : of its tasks, as text: "0", "0-3, gateway", "any".
    peak_bytes : that the call takes besides its constants.
    vta_ms : simulated, of what runs on the VTA; None where nothing does.
    """

    name: str
    tasks: int
    devices: str
    macs: int
    bytes_in: int
    bytes_out: int
    weight_bytes: int
    peak_bytes: int
    vta_ms: float | None


@dataclass(frozen=True, slots=True)
class DeviceCost:
    """All tasks of a device, a frame.

    ``bytes_in`` and ``bytes_out`` come from and go to other devices; ``memory_bytes`` are the
    constants of its functions and the largest call's tensors.
    """

    device: str
    tasks: int
    macs: int
    bytes_in: int
    bytes_out: int
    memory_bytes: int
    vta_ms: float | None


@dataclass(frozen=True, slots=True)
class PlanCost:
    """A plan; ``macs``, ``moved_bytes`` and ``vta_ms`` are of a frame, over all devices.

    A frame takes ``batch`` pictures together.
    """

    split: str
    tasks: int
    devices: int
    replicas: int
    batch: int
    macs: int
    moved_bytes: int
    vta_ms: float | None
    functions: tuple[FunctionCost, ...]
    by_device: tuple[DeviceCost, ...]

    @property
    def picture_ms(self) -> float | None:
        """Simulated time on the VTA, of a picture; None where nothing runs there."""
        return None if self.vta_ms is None else self.vta_ms / self.batch


def plan_cost(plan: Plan, vta_ms: Mapping[str, float], peak_bytes: Mapping[str, int]) -> PlanCost:
    """Compute the tables of a plan.

    Parameters
    ----------
    vta_ms : a call's simulated time on the VTA, of functions that have any.
    peak_bytes : what a call takes besides constants, of functions whose memory is planned; of
        others, the tensors of their operators count.
    """
    planned = {name: function.cost.peak_bytes for name, function in plan.functions.items()}
    planned |= peak_bytes
    calls = Counter(task.function for task in plan.tasks)
    places: dict[str, set[Device | None]] = {}
    for task in plan.tasks:
        for function in _functions(task):
            places.setdefault(function, set()).add(task.device)
    functions = tuple(
        FunctionCost(
            name=name,
            tasks=calls[name],
            devices=devices_text(devices),
            macs=plan.functions[name].cost.macs,
            bytes_in=_nbytes(plan.functions[name].args),
            bytes_out=_nbytes(plan.functions[name].results),
            weight_bytes=plan.functions[name].cost.weight_bytes,
            peak_bytes=planned[name],
            vta_ms=vta_ms.get(name),
        )
        for name, devices in places.items()
    )
    by_device = _by_device(plan, vta_ms, planned)
    return PlanCost(
        split=plan.split,
        tasks=len(plan.tasks),
        devices=plan.devices,
        replicas=plan.replicas,
        batch=plan.batch,
        macs=sum(row.macs for row in by_device),
        moved_bytes=sum(plan.nbytes(edge.region) for edge in crossings(plan)),
        vta_ms=_sum_ms(row.vta_ms for row in by_device),
        functions=functions,
        by_device=by_device,
    )


def _by_device(
    plan: Plan, vta_ms: Mapping[str, float], peak_bytes: Mapping[str, int]
) -> tuple[DeviceCost, ...]:
    tasks: dict[Device | None, list[Task]] = {}
    for task in plan.tasks:
        tasks.setdefault(task.device, []).append(task)
    device_of: dict[str | None, Device | None] = {task.name: task.device for task in plan.tasks}
    received: Counter[Device | None] = Counter()
    sent: Counter[Device | None] = Counter()
    for edge in crossings(plan):
        if edge.producer is not None:
            sent[device_of[edge.producer]] += plan.nbytes(edge.region)
        if edge.consumer is not None:
            received[device_of[edge.consumer]] += plan.nbytes(edge.region)
    rows = []
    for device in sorted(tasks, key=device_order):
        own = tasks[device]
        costs = [plan.functions[task.function].cost for task in own]
        called = {name for task in own for name in _functions(task)}
        rows.append(
            DeviceCost(
                device=devices_text({device}),
                tasks=len(own),
                macs=sum(cost.macs for cost in costs),
                bytes_in=received[device],
                bytes_out=sent[device],
                memory_bytes=plan.weight_bytes(called) + max(peak_bytes[name] for name in called),
                vta_ms=_sum_ms(vta_ms.get(task.function) for task in own),
            )
        )
    return tuple(rows)


def _functions(task: Task) -> tuple[str, ...]:
    """Return what a task may call."""
    return (task.function, *((task.fallback.function,) if task.fallback else ()))


def _nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _sum_ms(times: Iterable[float | None]) -> float | None:
    """Return the sum of the times that are known, None when none is."""
    known = [time for time in times if time is not None]
    return sum(known) if known else None
