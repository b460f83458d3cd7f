"""A plan as nodes know it: the program of docs/runtime.md, by numbers in place of names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcp_tvm.plan.box import Box, full_box
from lcp_tvm.plan.pieces import Pieces, Reads
from lcp_tvm.plan.plan import Plan, Region, Task

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Pace:
    """How nodes behave in time.

    Attributes
    ----------
    board_ms : by node, by function, what a call takes on an emulated board; empty on real ones.
    poll_ms : how long an idle node sleeps when nobody has work (stealing).
    patience_ms : how long a task waits for others' results before its fallback runs (stealing).
    """

    board_ms: Sequence[Sequence[float]] = ()
    poll_ms: int = 100
    patience_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Program:
    """What all nodes of a run are told."""

    text: str

    def for_node(self, number: int) -> str:
        """Return the JSON that `prepare` of a node takes."""
        return f'{{"node": {number}, {self.text[1:]}'


def make_program(
    plan: Plan,
    reads: Reads,
    *,
    run: int,
    nodes: Sequence[str],
    gateway: int,
    pace: Pace,
    trace: bool = False,
) -> Program:
    """Return the program of a plan.

    Parameters
    ----------
    reads : who writes what (`find_reads`).
    run : a number of 64 bits that no other run has.
    nodes : names; the devices, then a gateway of its own, and the client last.
    gateway : its number.
    trace : whether nodes keep a timeline.
    """
    tensors = {name: number for number, name in enumerate(plan.tensors)}
    functions = {name: number for number, name in enumerate(plan.functions)}

    def task_values(task: Task, own: Sequence[Pieces], other: Sequence[Pieces]) -> dict[str, Any]:
        fallback = task.fallback and {
            "function": functions[task.fallback.function],
            "reads": _reads(tensors, task.fallback.reads, other),
        }
        return {
            "name": task.name,
            "function": functions[task.function],
            "needs": -1 if task.needs is None else task.needs,
            "reads": _reads(tensors, task.reads, own),
            "writes": [[tensors[region.tensor], _flat(region.box)] for region in task.writes],
            "fallback": fallback,
        }

    outputs = [Region(name, full_box(plan.tensors[name].shape)) for name in plan.outputs]
    values = {
        "format": FORMAT,
        "run": f"{run:016x}",
        "nodes": list(nodes),
        "gateway": gateway,
        "client": len(nodes) - 1,
        "tensors": [[tensor.dtype, tensor.shape] for tensor in plan.tensors.values()],
        "inputs": [tensors[name] for name in plan.inputs],
        "outputs": [tensors[name] for name in plan.outputs],
        "functions": [
            {"name": name, "peak_bytes": function.cost.peak_bytes}
            for name, function in plan.functions.items()
        ],
        "tasks": list(map(task_values, plan.tasks, reads.tasks, reads.fallbacks)),
        "collect": _reads(tensors, outputs, reads.outputs),
        "pace_ms": [list(row) for row in pace.board_ms],
        "poll_ms": pace.poll_ms,
        "patience_ms": pace.patience_ms,
        "trace": trace,
    }
    return Program(json.dumps(values, ensure_ascii=False, allow_nan=False))


def _reads(
    tensors: Mapping[str, int], regions: Iterable[Region], found: Iterable[Pieces]
) -> list[Any]:
    """Return reads with the pieces that make them up."""
    return [
        [
            tensors[region.tensor],
            _flat(region.box),
            [[producer, _flat(piece.box)] for producer, piece in pieces],
        ]
        for region, pieces in zip(regions, found, strict=True)
    ]


def _flat(box: Box) -> list[int]:
    return [end for side in box for end in side]
