"""Whether data flows: every element is written once, and before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Box, box_size, box_text, full_box, intersect, overlaps
from lcp_tvm.plan.box_tree import box_tree, find_gap
from lcp_tvm.plan.edges import Writers
from lcp_tvm.plan.plan import Plan, Region, Task

MAX_EDGES = 1_000_000


def check_written_once(plan: Plan, name: str, written: list[tuple[str | None, Box]]) -> None:
    """Check that every element of a tensor is in one of the boxes that are written, and no more."""
    boxes = [box for _, box in written]
    tree = box_tree(boxes) if boxes else None
    for number, (writer, box) in enumerate(written):
        found = tree.find(box) if tree else []
        others = [other for other in found[:2] if other != number]
        if others:
            names = sorted({_who(writer), _who(written[others[0]][0])})
            raise PlanError(
                f"{name}{box_text(intersect(box, boxes[others[0]]))} is written more than once, "
                f"by {' and '.join(names)}; allowed is once"
            )
    full = full_box(plan.tensors[name].shape)
    if sum(map(box_size, boxes)) == box_size(full):
        return
    gap = find_gap(full, boxes)
    assert gap is not None
    readers = [
        task.name
        for task in plan.tasks
        for region in all_reads(task)
        if region.tensor == name and overlaps(region.box, gap)
    ]
    reader = f", which task '{readers[0]}' reads" if readers else ""
    raise PlanError(
        f"no task writes {name}{box_text(gap)}{reader}; every element is to be written once"
    )


def check_order(plan: Plan, writers: Writers) -> None:
    """Check that whoever reads comes after those who write, fallbacks included."""
    position = {task.name: number for number, task in enumerate(plan.tasks)}
    edges = 0
    for number, task in enumerate(plan.tasks):
        for region in all_reads(task):
            for producer, box in writers.of(region):
                edges += 1
                if edges > MAX_EDGES:
                    raise PlanError(
                        f"task '{task.name}' reads from too many others; allowed are "
                        f"{MAX_EDGES} edges between tasks in all"
                    )
                if producer is not None and position[producer] >= number:
                    _refuse_cycles(plan, writers)
                    raise PlanError(
                        f"task '{task.name}' reads {region.tensor}{box_text(box)}, which task "
                        f"'{producer}' writes later; tasks are to come after those they read from"
                    )


def all_reads(task: Task) -> tuple[Region, ...]:
    """Return what a task may read, with its fallback or without."""
    return (*task.reads, *(task.fallback.reads if task.fallback else ()))


def _refuse_cycles(plan: Plan, writers: Writers) -> None:
    before: Mapping[str, set[str]] = {
        task.name: {
            producer
            for region in all_reads(task)
            for producer, _ in writers.of(region)
            if producer is not None
        }
        for task in plan.tasks
    }
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        shown = circle if len(circle) <= 6 else [*circle[:4], "...", circle[-1]]
        raise PlanError(
            f"tasks wait for each other: {' -> '.join(shown)}; allowed are no circles"
        ) from None


def _who(name: str | None) -> str:
    return "the frame" if name is None else f"task '{name}'"
