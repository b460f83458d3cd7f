"""The reference consumer of a plan: runs its tasks one by one in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.plan.plan import Plan, Region

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
    """
    tensors = {name: np.asarray(inputs[name]) for name in plan.inputs}
    for task in plan.tasks:
        function, reads = task.function, task.reads
        if fallback and task.fallback is not None:
            function, reads = task.fallback.function, task.fallback.reads
        arguments = [read_region(tensors, region) for region in reads]
        if task.needs is not None:
            arguments.append(np.ones(len(reads), np.int32))
        for region, result in zip(task.writes, call(function, arguments), strict=True):
            if region.tensor not in tensors:
                tensor = plan.tensors[region.tensor]
                tensors[region.tensor] = np.zeros(tensor.shape, tensor.dtype)
            tensors[region.tensor][_slices(region)] = result
    return {name: tensors[name] for name in plan.outputs}


def read_region(tensors: Mapping[str, Array], region: Region) -> Array:
    """Return a region's elements, contiguous."""
    return np.ascontiguousarray(tensors[region.tensor][_slices(region)])


def _slices(region: Region) -> tuple[slice, ...]:
    return tuple(slice(begin, end) for begin, end in region.box)
