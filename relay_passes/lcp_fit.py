"""How many branches a network needs for one of them to fit a device (LCP, Procedure 1)."""

from __future__ import annotations

import tvm

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import Cost
from lcp_tvm.relay_passes.lcp_branches import Merge, split_lcp_network
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_lcp import split_lcp
from lcp_tvm.relay_passes.split_whole import split_whole


def fit_branches(
    module: tvm.IRModule,
    memory_bytes: float,
    macs: float,
    *,
    division: int = 2,
    fatten: float = 0.0,
    merge: Merge = "concat",
    itemsize: int = 4,
) -> int:
    """Divide the widths until a branch fits both limits; return the number of branches.

    Parameters
    ----------
    memory_bytes : of a device, for a branch's parameters and its activations at the worst moment.
    macs : multiply-accumulates that a device may take for a frame.
    division : what the widths are divided by at each step.
    fatten : percent, as the branches will have.
    itemsize : bytes of a number on the device; 1 where the network will be quantised.

    Raises
    ------
    PlanError
        Not even branches of single channels fit.
    """
    if division < 2:
        raise PlanError(f"lcp: widths cannot be divided by {division}; 2 or more is allowed")
    cost, widths = split_whole(read_graph(module), "").plan.functions["network"].cost, None
    branches = 1
    while not _fits(cost, memory_bytes, macs, itemsize):
        branches *= division
        split = split_lcp_network(module, branches, fatten=fatten, merge=merge)
        if split.widths == widths:
            raise PlanError(
                f"lcp: no branch fits; the narrowest take {_nbytes(cost, itemsize)} bytes and "
                f"{cost.macs} MACs, a device has {memory_bytes:g} and {macs:g}"
            )
        widths = split.widths
        cost = split_lcp(read_graph(split.module), "").plan.functions["branch_0"].cost
    return branches


def _fits(cost: Cost, memory_bytes: float, macs: float, itemsize: int) -> bool:
    return _nbytes(cost, itemsize) <= memory_bytes and cost.macs <= macs


def _nbytes(cost: Cost, itemsize: int) -> int:
    """Return the memory of a function in float32, for numbers of another size."""
    return (cost.weight_bytes + cost.peak_bytes) * itemsize // 4
