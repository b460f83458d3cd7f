"""Who waits for whom: the edges of a plan, which follow from the regions of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lcp_tvm.plan.box import Box, full_box, intersect
from lcp_tvm.plan.box_tree import BoxTree, box_tree
from lcp_tvm.plan.plan import GATEWAY, Device, Plan, Region


@dataclass(frozen=True, slots=True)
class Edge:
    """What one task reads of what another writes.

    Attributes
    ----------
    producer : a task, or None for the frame.
    consumer : a task, or None for whoever takes the plan's outputs.
    region : the part of a read that the producer writes with one of its results.
    """

    producer: str | None
    consumer: str | None
    region: Region


class Writers:
    """Who writes what, to be asked by region."""

    def __init__(self, plan: Plan) -> None:
        self.written: dict[str, list[tuple[str | None, Box]]] = {name: [] for name in plan.tensors}
        """By tensor, who writes which boxes of it; None is the frame."""
        for name in plan.inputs:
            self.written[name].append((None, full_box(plan.tensors[name].shape)))
        for task in plan.tasks:
            for region in task.writes:
                self.written[region.tensor].append((task.name, region.box))
        self._trees: dict[str, BoxTree] = {}

    def of(self, region: Region) -> Iterator[tuple[str | None, Box]]:
        """Yield who writes which parts of a region, in the order of the tasks."""
        written = self.written[region.tensor]
        if not written:
            return
        if region.tensor not in self._trees:
            self._trees[region.tensor] = box_tree([box for _, box in written])
        for number in self._trees[region.tensor].find(region.box):
            name, box = written[number]
            yield name, intersect(region.box, box)


def edges(plan: Plan) -> tuple[Edge, ...]:
    """Return the edges: of every read in the order of the tasks, then of the plan's outputs.

    A read that several tasks write has an edge for each of them. What fallbacks read is left out.
    """
    writers = Writers(plan)
    reads = [(task.name, region) for task in plan.tasks for region in task.reads]
    outputs = [(None, Region(name, full_box(plan.tensors[name].shape))) for name in plan.outputs]
    return tuple(
        Edge(producer, consumer, Region(region.tensor, box))
        for consumer, region in (*reads, *outputs)
        for producer, box in writers.of(region)
    )


def predecessors(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """Return, for every task, the tasks whose results it reads, each once."""
    found: dict[str, dict[str, None]] = {task.name: {} for task in plan.tasks}
    for edge in edges(plan):
        if edge.producer is not None and edge.consumer is not None:
            found[edge.consumer][edge.producer] = None
    return {name: tuple(names) for name, names in found.items()}


def crossings(plan: Plan) -> tuple[Edge, ...]:
    """Return the edges between different places.

    A device is a place; so is every task that is bound to none, as it may run anywhere, and so is
    where frames come from. Results go to the gateway.
    """
    places = _places(plan)
    return tuple(edge for edge in edges(plan) if _leaves(edge, places))


def connections(plan: Plan) -> int:
    """Return how many pairs have to talk to each other for a frame (LCP, Figure 11).

    A pair is a task, or the frame, and another place that takes of its results: n branches on n
    devices and a head at the gateway make n pairs for the input and n for the merge, and a layer
    that n devices share and that all of them need whole makes n (n - 1).
    """
    places = _places(plan)
    pairs = {
        (edge.producer, _consumer_place(edge, places))
        for edge in edges(plan)
        if _leaves(edge, places)
    }
    return len(pairs)


_Place = Device | str | None


def _places(plan: Plan) -> Mapping[str | None, tuple[str, _Place]]:
    """Return where every task runs; the kind keeps devices and names of tasks apart."""
    return {None: ("source", None)} | {
        task.name: ("task", task.name) if task.device is None else ("device", task.device)
        for task in plan.tasks
    }


def _consumer_place(
    edge: Edge, places: Mapping[str | None, tuple[str, _Place]]
) -> tuple[str, _Place]:
    return ("device", GATEWAY) if edge.consumer is None else places[edge.consumer]


def _leaves(edge: Edge, places: Mapping[str | None, tuple[str, _Place]]) -> bool:
    """Whether an edge's data goes from one place to another."""
    return places[edge.producer] != _consumer_place(edge, places)
