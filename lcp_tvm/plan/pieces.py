"""Which tasks write what a task reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import contains, full_box
from lcp_tvm.plan.edges import Writers
from lcp_tvm.plan.plan import Plan, Region

FRAME = -1
"""Stands for the frame among producers: it writes the plan's inputs."""

Pieces = tuple[tuple[int, Region], ...]
"""For one read, who writes it: a task's number or FRAME, and the region that both share."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What everybody reads.

    Attributes
    ----------
    tasks : by task, by read.
    fallbacks : by task, by read of its fallback; empty where there is none.
    outputs : by output of the plan.
    """

    tasks: tuple[tuple[Pieces, ...], ...]
    fallbacks: tuple[tuple[Pieces, ...], ...]
    outputs: tuple[Pieces, ...]


def find_reads(plan: Plan) -> Reads:
    """Return who writes what everybody reads.

    Raises
    ------
    PlanError
        A task reads what a later one writes.
    """
    writers = Writers(plan)
    numbers: dict[str | None, int] = {task.name: n for n, task in enumerate(plan.tasks)}
    numbers[None] = FRAME

    def pieces(region: Region) -> Pieces:
        found = writers.of(region)
        return tuple((numbers[name], Region(region.tensor, box)) for name, box in found)

    def every(regions: Sequence[Region]) -> tuple[Pieces, ...]:
        return tuple(pieces(region) for region in regions)

    reads = Reads(
        tuple(every(task.reads) for task in plan.tasks),
        tuple(every(task.fallback.reads if task.fallback else ()) for task in plan.tasks),
        every([Region(name, full_box(plan.tensors[name].shape)) for name in plan.outputs]),
    )
    for number, (own, other) in enumerate(zip(reads.tasks, reads.fallbacks, strict=True)):
        for found in (*own, *other):
            if any(producer >= number for producer, _ in found):
                name = plan.tasks[number].name
                raise PlanError(f"task {name} reads what itself or a later task writes")
    return reads


def distinct_bytes(plan: Plan, regions: Iterable[Region]) -> int:
    """Return the bytes of some regions, those inside others left out."""
    kept: list[Region] = []
    for region in dict.fromkeys(regions):
        if not any(r.tensor == region.tensor and contains(r.box, region.box) for r in kept):
            kept.append(region)
    return sum(map(plan.nbytes, kept))
