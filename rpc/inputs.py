"""What a frame begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.errors import InputError
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.control import as_tensor
from lcp_tvm.rpc.frames import Inputs

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """Inputs that a source holds under a name, as from a camera of its own (`Cluster.keep`)."""

    name: str


Input = Array | Sequence[Array] | Kept
"""An array, one per input of the plan, or what its source keeps."""


def inputs_of(plan: Plan, x: Input) -> Inputs:
    """Return a frame's inputs as its node takes them.

    Raises
    ------
    InputError
        They are not the plan's.
    """
    if isinstance(x, Kept):
        return Inputs(kept=x.name)
    arrays = (x,) if isinstance(x, np.ndarray) else x
    check_inputs(plan, arrays)
    return Inputs(tuple(map(as_tensor, arrays)))


def check_inputs(plan: Plan, arrays: Sequence[Array]) -> None:
    """See whether arrays are a plan's inputs.

    Raises
    ------
    InputError
        Their number, or the shape or type of one, is another.
    """
    if len(arrays) != len(plan.inputs):
        raise InputError(f"the plan has {len(plan.inputs)} inputs; given are {len(arrays)}")
    for name, array in zip(plan.inputs, arrays, strict=True):
        tensor = plan.tensors[name]
        if array.shape != tensor.shape or array.dtype != tensor.dtype:
            raise InputError(
                f"the plan's input '{name}' is {tensor.dtype} {list(tensor.shape)}; "
                f"given is {array.dtype} {list(array.shape)}"
            )
