"""A split: the plan, and the recipes of its functions, which become Relax when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm

from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import Device, Fallback, Plan, Region, Task, Tensor
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import Part, Piece
from lcp_tvm.relay_passes.recipe import Recipe
from lcp_tvm.relay_passes.recipe_cost import function_of
from lcp_tvm.relay_passes.recipe_function import recipe_module


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What every pass that splits a network returns."""

    plan: Plan
    graph: NetworkGraph
    recipes: Mapping[str, Recipe]

    def module(self) -> tvm.IRModule:
        """Return the functions as Relax, under the names that the plan calls them by."""
        return recipe_module(self.graph, self.recipes)


class SplitBuilder:
    """Collects tasks; the tensors of the plan are the nodes that tasks write."""

    def __init__(self, graph: NetworkGraph) -> None:
        self.graph = graph
        self._tensors = {graph.nodes[index].name: tensor_of(graph, index) for index in graph.inputs}
        self._names: dict[Recipe, str] = {}
        self._counts: dict[str, int] = {}
        self._tasks: list[Task] = []

    def add(
        self,
        name: str,
        piece: Piece,
        *,
        function: str,
        device: Device | None = None,
        reads: Sequence[Region] | None = None,
        writes: Sequence[Region] | None = None,
        fallback: Piece | None = None,
    ) -> None:
        """Add a task.

        Parameters
        ----------
        name : of the task.
        function : what to call its function, with a number when there are several; tasks with
            equal recipes share one.
        reads, writes : regions in place of the piece's parts, where a tensor of the plan is not
            a node of the graph.
        fallback : computes the same without what other tasks of this kind give.
        """
        wanted = reads if reads is not None else [self.region(part) for part in piece.reads]
        written = writes if writes is not None else [self.region(part) for part in piece.writes]
        for part, region in zip(piece.writes, written, strict=True):
            self._declare(part, region)
        other = None
        if fallback is not None:
            other = Fallback(
                self._function(fallback.recipe, f"{function}_alone"),
                tuple(self.region(part) for part in fallback.reads),
            )
        self._tasks.append(
            Task(
                name,
                self._function(piece.recipe, function),
                tuple(wanted),
                tuple(written),
                device,
                fallback=other,
            )
        )

    def region(self, part: Part) -> Region:
        """Return a part of a node as a region of the tensor of its name."""
        return Region(self.graph.nodes[part.node].name, part.box)

    def finish(self, name: str, split: str, devices: int = 1, replicas: int = 1) -> Split:
        """Return the split.

        Parameters
        ----------
        name : of the network.
        split : the text after ``--split``.
        """
        outputs = tuple(self.graph.nodes[index].name for index in self.graph.outputs)
        recipes = {label: recipe for recipe, label in self._names.items()}
        functions = {label: function_of(self.graph, recipe) for label, recipe in recipes.items()}
        plan = Plan(
            name=name,
            split=split,
            tensors=self._tensors,
            inputs=tuple(self.graph.nodes[index].name for index in self.graph.inputs),
            outputs=outputs,
            functions=functions,
            tasks=tuple(self._tasks),
            devices=devices,
            replicas=replicas,
        )
        return Split(plan, self.graph, recipes)

    def _declare(self, part: Part, region: Region) -> None:
        if region.tensor in self._tensors:
            return
        node = self.graph.nodes[part.node]
        if region.tensor == node.name:
            self._tensors[node.name] = tensor_of(self.graph, part.node)
        else:
            shape = tuple(end for _, end in region.box)
            self._tensors[region.tensor] = Tensor(shape, node.dtype)

    def _function(self, recipe: Recipe, label: str) -> str:
        if recipe not in self._names:
            number = self._counts.get(label, 0)
            self._counts[label] = number + 1
            self._names[recipe] = f"{label}_{number}" if number else label
        return self._names[recipe]


def whole(graph: NetworkGraph, indices: Sequence[int]) -> tuple[Part, ...]:
    """Return all of some nodes."""
    return tuple(Part(index, full_box(graph.nodes[index].shape)) for index in indices)


def computed_outputs(graph: NetworkGraph) -> tuple[int, ...]:
    """Return the outputs that are no inputs, each once: what tasks have to write."""
    return tuple(index for index in dict.fromkeys(graph.outputs) if index not in graph.inputs)


def tensor_of(graph: NetworkGraph, index: int) -> Tensor:
    """Return a node's shape and type."""
    node = graph.nodes[index]
    return Tensor(node.shape, node.dtype)
