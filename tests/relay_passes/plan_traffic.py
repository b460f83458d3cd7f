"""What a plan moves and computes, counted from its regions alone."""

from __future__ import annotations

from collections import Counter

from lcp_tvm.plan.box import box_size, intersect, is_empty
from lcp_tvm.plan.plan import ITEM_SIZE, Device, Plan


def bytes_between(plan: Plan) -> Counter[tuple[Device | None, Device | None]]:
    """Bytes that each device reads of what another one wrote: (writer, reader) to bytes."""
    moved: Counter[tuple[Device | None, Device | None]] = Counter()
    for reader in plan.tasks:
        for read in reader.reads:
            size = ITEM_SIZE[plan.tensors[read.tensor].dtype]
            for writer in plan.tasks:
                if writer.device == reader.device:
                    continue
                for write in writer.writes:
                    if write.tensor != read.tensor:
                        continue
                    shared = intersect(write.box, read.box)
                    if not is_empty(shared):
                        moved[writer.device, reader.device] += size * box_size(shared)
    return moved


def total_macs(plan: Plan) -> int:
    """Multiply-accumulates of all tasks."""
    return sum(plan.functions[task.function].cost.macs for task in plan.tasks)


def total_weight_bytes(plan: Plan) -> int:
    """Bytes of constants of all tasks."""
    return sum(plan.functions[task.function].cost.weight_bytes for task in plan.tasks)
