"""Whether a plan is right: all that its consumers may rely on without looking again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from math import prod

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import box_shape, box_text, contains, full_box, is_empty
from lcp_tvm.plan.check_flow import check_order, check_written_once
from lcp_tvm.plan.edges import Writers
from lcp_tvm.plan.plan import GATEWAY, ITEM_SIZE, Device, Function, Plan, Region, Task, Tensor

MAX_TASKS = 10_000
MAX_TENSORS = 100_000
MAX_DEVICES = 10_000
MAX_RANK = 8
MAX_ELEMENTS = 1 << 31
MAX_COUNT = 1 << 63
MAX_MS = 1e15
MAX_NAME = 256


def validate(plan: Plan, *, memory_bytes: Mapping[Device, int] | int | None = None) -> None:
    """Check a plan.

    Parameters
    ----------
    memory_bytes : of some devices, or of every device; None leaves memory out. A device keeps the
        constants of all functions that its tasks call, and runs one task at a time. A task that
        is bound to no device must fit, by itself, the smallest memory.

    Raises
    ------
    PlanError
        One line on the first mistake: which task or tensor, what was found, what is allowed.
    """
    _check_head(plan)
    for name, tensor in plan.tensors.items():
        _check_name("tensor", name)
        _check_tensor(f"tensor '{name}'", tensor)
    for name, function in plan.functions.items():
        _check_name("function", name)
        _check_function(name, function)
    names: set[str] = set()
    for task in plan.tasks:
        _check_name("task", task.name)
        if task.name in names:
            raise PlanError(f"two tasks have the name '{task.name}'; allowed is one")
        names.add(task.name)
        _check_task(plan, task)
    writers = Writers(plan)
    for name in plan.tensors:
        check_written_once(plan, name, writers.written[name])
    check_order(plan, writers)
    if memory_bytes is not None:
        _check_memory(plan, memory_bytes)


def _check_head(plan: Plan) -> None:
    _check_name("network", plan.name)
    _check_name("split", plan.split)
    for what, count, least, most in (
        ("devices", plan.devices, 1, MAX_DEVICES),
        ("replicas", plan.replicas, 1, MAX_DEVICES // plan.devices if plan.devices > 0 else 1),
        ("tasks", len(plan.tasks), 0, MAX_TASKS),
        ("tensors", len(plan.tensors), 1, MAX_TENSORS),
        ("functions", len(plan.functions), 0, MAX_TASKS),
        ("outputs", len(plan.outputs), 1, MAX_TENSORS),
    ):
        if not least <= count <= most:
            raise PlanError(f"the plan has {count} {what}; allowed are {least} to {most}")
    for what, names in (("input", plan.inputs), ("output", plan.outputs)):
        for name in names:
            if name not in plan.tensors:
                raise PlanError(
                    f"{what} {name!r:.99} is no tensor of the plan: {_some(plan.tensors)}"
                )
    if len(set(plan.inputs)) < len(plan.inputs):
        raise PlanError(f"an input is listed twice, allowed is once: {_some(sorted(plan.inputs))}")


def _check_name(kind: str, name: str) -> None:
    if not (name.isprintable() and 0 < len(name) <= MAX_NAME):
        raise PlanError(
            f"a {kind} has the name {name[:MAX_NAME]!r}; "
            f"allowed are 1 to {MAX_NAME} printable characters"
        )


def _check_tensor(what: str, tensor: Tensor) -> None:
    if tensor.dtype not in ITEM_SIZE:
        raise PlanError(f"{what} has type {tensor.dtype!r:.99}; known are {', '.join(ITEM_SIZE)}")
    if (
        len(tensor.shape) > MAX_RANK
        or any(size < 1 for size in tensor.shape)
        or prod(tensor.shape) > MAX_ELEMENTS
    ):
        raise PlanError(
            f"{what} has shape {list(tensor.shape)}; allowed are up to {MAX_RANK} dimensions of "
            f"1 or more, and {MAX_ELEMENTS} elements"
        )


def _check_function(name: str, function: Function) -> None:
    for what, tensors in (("argument", function.args), ("result", function.results)):
        for number, tensor in enumerate(tensors):
            _check_tensor(f"{what} {number} of function '{name}'", tensor)
    cost = function.cost
    for count in (*astuple(cost), *function.weights.values()):
        if not 0 <= count < MAX_COUNT:
            raise PlanError(f"function '{name}' has {cost}; allowed are 0 to {MAX_COUNT - 1}")
    if cost.integer_macs > cost.macs:
        raise PlanError(
            f"function '{name}' has {cost.integer_macs} integer multiply-accumulates; "
            f"allowed are those that it has in all, {cost.macs}"
        )
    if function.weights and sum(function.weights.values()) != cost.weight_bytes:
        raise PlanError(
            f"function '{name}' holds {cost.weight_bytes} bytes of constants, the listed ones "
            f"have {sum(function.weights.values())}"
        )
    for kind, time in function.measured_ms.items():
        _check_name("kind of device", kind)
        if not 0 <= time <= MAX_MS:
            raise PlanError(
                f"function '{name}' takes {time} ms on {kind}; allowed are 0 to {MAX_MS:g}"
            )


def _check_task(plan: Plan, task: Task) -> None:
    what = f"task '{task.name}'"
    if not task.writes:
        raise PlanError(f"{what} writes nothing; allowed are 1 region or more")
    _check_regions(plan, what, "writes", task.writes)
    _check_regions(plan, what, "reads", task.reads)
    _check_call(plan, what, task.function, task.reads, task.writes)
    if not (task.device is None or task.device == GATEWAY or 0 <= task.device < plan.devices):
        raise PlanError(
            f"{what} has device {task.device}; allowed are 0 to {plan.devices - 1}, '{GATEWAY}' "
            "or none"
        )
    if not (task.needs is None or 1 <= task.needs <= len(task.reads)):
        raise PlanError(
            f"{what} needs {task.needs} of its reads; allowed are 1 to {len(task.reads)}"
        )
    if task.fallback is not None:
        if task.needs is not None:
            raise PlanError(f"{what} has a fallback and needs {task.needs}; allowed is one of them")
        other = f"fallback of {what}"
        _check_regions(plan, other, "reads", task.fallback.reads)
        _check_call(plan, other, task.fallback.function, task.fallback.reads, task.writes)


def _check_regions(plan: Plan, what: str, verb: str, regions: Sequence[Region]) -> None:
    for region in regions:
        tensor = plan.tensors.get(region.tensor)
        if tensor is None:
            raise PlanError(
                f"{what} {verb} {region.tensor!r:.99}, no tensor of the plan: {_some(plan.tensors)}"
            )
        text = f"{what} {verb} {region.tensor}{box_text(region.box)}"
        if is_empty(region.box):
            raise PlanError(f"{text}, which is empty; allowed are 1 element or more")
        full = full_box(tensor.shape)
        if len(region.box) != len(full) or not contains(full, region.box):
            raise PlanError(f"{text}; allowed is what lies in {box_text(full)}")


def _check_call(
    plan: Plan, what: str, name: str, reads: Sequence[Region], writes: Sequence[Region]
) -> None:
    """Check that a function takes and gives what is read and written."""
    function = plan.functions.get(name)
    if function is None:
        raise PlanError(
            f"{what} calls {name!r:.99}, no function of the plan: {_some(plan.functions)}"
        )
    for kind, verb, regions, tensors in (
        ("argument", "reads", reads, function.args),
        ("result", "writes", writes, function.results),
    ):
        if len(regions) != len(tensors):
            raise PlanError(
                f"{what} {verb} {len(regions)} regions; "
                f"function '{name}' has {len(tensors)} {kind}s"
            )
        for number, (region, tensor) in enumerate(zip(regions, tensors, strict=True)):
            found = Tensor(box_shape(region.box), plan.tensors[region.tensor].dtype)
            if found != tensor:
                raise PlanError(
                    f"{what} {verb} {region.tensor}{box_text(region.box)}, {_type(found)}; "
                    f"{kind} {number} of function '{name}' is {_type(tensor)}"
                )


def _check_memory(plan: Plan, memory_bytes: Mapping[Device, int] | int) -> None:
    if isinstance(memory_bytes, int):
        every: list[Device] = [GATEWAY, *range(plan.devices * plan.replicas)]
        memory_bytes = dict.fromkeys(every, memory_bytes)
    for device, memory in memory_bytes.items():
        number = device if device == GATEWAY else device % plan.devices
        bound = [task for task in plan.tasks if task.device is not None and task.device == number]
        _check_fits(plan, bound, memory, f"device {device}")
    smallest = min(memory_bytes.values(), default=None)
    if smallest is not None:
        for task in plan.tasks:
            if task.device is None:
                _check_fits(plan, [task], smallest, "the smallest device, where it may run too")


def _check_fits(plan: Plan, tasks: Sequence[Task], memory: int, where: str) -> None:
    """Check that tasks together fit a memory; the one that needs the most is named."""
    calls = [(task.name, task.function) for task in tasks]
    calls += [(task.name, task.fallback.function) for task in tasks if task.fallback]
    costs = {function: plan.functions[function].cost for _, function in calls}
    constants = plan.weight_bytes(costs)
    peak, name = max(
        ((costs[function].peak_bytes, name) for name, function in calls), default=(0, "")
    )
    if constants + peak > memory:
        raise PlanError(
            f"task '{name}' needs {peak} bytes beside {constants} of constants; "
            f"allowed are {memory} on {where}"
        )


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"


def _some(names: Iterable[str]) -> str:
    """Return what there is to choose from, not too much of it."""
    listed = list(names)
    more = f" and {len(listed) - 6} more" if len(listed) > 6 else ""
    return ", ".join(listed[:6]) + more if listed else "it has none"
