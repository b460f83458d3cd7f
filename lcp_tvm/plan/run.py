"""The reference consumer of a plan: runs its tasks one by one in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import box_shape
from lcp_tvm.plan.plan import Plan, Region, Task

Array = npt.NDArray[Any]
CallFunction = Callable[[str, Sequence[Array]], Sequence[Array]]
"""Calls a function of the plan by name: arguments to results."""


def run_plan(
    plan: Plan,
    call: CallFunction,
    inputs: Mapping[str, Array],
    *,
    fallback: bool = False,
) -> dict[str, Array]:
    """Run a frame.

    Parameters
    ----------
    call : computes a function.
    inputs : arrays by the names of the plan's inputs.
    fallback : tasks that have another way take it.

    Returns
    -------
    outputs : arrays by the names of the plan's outputs.

    Raises
    ------
    PlanError
        The inputs are not the plan's, or a function's results are not what its task writes.
    """
    tensors = {name: _input(plan, name, inputs) for name in plan.inputs}
    for task in plan.tasks:
        function, reads = task.function, task.reads
        if fallback and task.fallback is not None:
            function, reads = task.fallback.function, task.fallback.reads
        arguments = [read_region(tensors, region) for region in reads]
        if task.needs is not None:
            arguments.append(np.ones(len(reads), np.int32))
        results = _results(task, call(function, arguments))
        for region, result in zip(task.writes, results, strict=True):
            if region.tensor not in tensors:
                tensor = plan.tensors[region.tensor]
                tensors[region.tensor] = np.zeros(tensor.shape, tensor.dtype)
            tensors[region.tensor][_slices(region)] = result
    return {name: tensors[name] for name in plan.outputs}


def _input(plan: Plan, name: str, inputs: Mapping[str, Array]) -> Array:
    shape = plan.tensors[name].shape
    found = np.asarray(inputs[name]).shape if name in inputs else None
    if found != shape:
        given = "nothing" if found is None else list(found)
        raise PlanError(f"the plan's input '{name}' is {list(shape)}; given is {given}")
    return np.asarray(inputs[name])


def _results(task: Task, results: Sequence[Array]) -> Sequence[Array]:
    """Return a task's results, of the shapes that it is to write."""
    wanted = [list(box_shape(region.box)) for region in task.writes]
    found = [list(result.shape) for result in results]
    if found != wanted:
        raise PlanError(f"task '{task.name}' is to write {wanted}; its function gave {found}")
    return results


def read_region(tensors: Mapping[str, Array], region: Region) -> Array:
    """Return a region's elements, contiguous."""
    return np.ascontiguousarray(tensors[region.tensor][_slices(region)])


def _slices(region: Region) -> tuple[slice, ...]:
    return tuple(slice(begin, end) for begin, end in region.box)
