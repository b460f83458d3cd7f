"""A function as data: operators of a graph on values, each on parts of its constants.

Two tiles of one shape have equal recipes, and so share one function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcp_tvm.plan.box import Box, box_shape
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.slicing import Padding, macs


@dataclass(frozen=True, slots=True)
class Apply:
    """A node's operator on values, and on these boxes of its constants.

    ``operands`` has one entry for each of the node's: None where nothing of it is needed.
    """

    node: int
    operands: tuple[int | Box | None, ...]
    padding: Padding | None
    result: Tensor
    macs: int = 0


@dataclass(frozen=True, slots=True)
class Crop:
    """A box of a value."""

    value: int
    box: Box
    result: Tensor


@dataclass(frozen=True, slots=True)
class Join:
    """Values side by side along an axis."""

    values: tuple[int, ...]
    axis: int
    result: Tensor


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of values of one shape: what partial sums of a split reduction add up to."""

    values: tuple[int, ...]
    result: Tensor


Step = Apply | Crop | Join | Sum


@dataclass(frozen=True, slots=True)
class Recipe:
    """A function over the constants of a graph: values are the arguments, then each step's."""

    args: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def tensor(self, value: int) -> Tensor:
        """Return the type of a value."""
        own = value - len(self.args)
        return self.args[value] if own < 0 else self.steps[own].result


class RecipeWriter:
    """Collects steps; the values of a recipe that is not yet whole."""

    def __init__(self, graph: NetworkGraph) -> None:
        self._graph = graph
        self._args: list[Tensor] = []
        self._steps: list[Step] = []

    def argument(self, tensor: Tensor) -> int:
        """Add an argument; all come before the first step."""
        if self._steps:
            raise ValueError("an argument after a step")
        self._args.append(tensor)
        return len(self._args) - 1

    def apply(
        self,
        node: int,
        box: Box,
        operands: Sequence[int | Box | None],
        boxes: tuple[Box | None, ...],
        padding: Padding | None,
    ) -> int:
        """Add a node's operator; ``boxes`` are what its operands stand for."""
        source = self._graph.nodes[node]
        dtype = source.dtype
        work = macs(self._graph, source, box, boxes)
        result = Tensor(box_shape(box), dtype)
        return self._add(Apply(node, tuple(operands), padding, result, work))

    def crop(self, value: int, box: Box) -> int:
        """Add a crop; the whole of a value is the value."""
        tensor = self._tensor(value)
        if box_shape(box) == tensor.shape:
            return value
        return self._add(Crop(value, box, Tensor(box_shape(box), tensor.dtype)))

    def join(self, values: Sequence[int], axis: int) -> int:
        """Add a join; of one value it is the value."""
        if len(values) == 1:
            return values[0]
        tensors = [self._tensor(value) for value in values]
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        return self._add(Join(tuple(values), axis, Tensor(tuple(shape), tensors[0].dtype)))

    def sum(self, values: Sequence[int]) -> int:
        """Add a sum; of one value it is the value."""
        if len(values) == 1:
            return values[0]
        return self._add(Sum(tuple(values), self._tensor(values[0])))

    def finish(self, results: Sequence[int]) -> Recipe:
        """Return the recipe."""
        return Recipe(tuple(self._args), tuple(self._steps), tuple(results))

    def _add(self, step: Step) -> int:
        self._steps.append(step)
        return len(self._args) + len(self._steps) - 1

    def _tensor(self, value: int) -> Tensor:
        own = value - len(self._args)
        return self._args[value] if own < 0 else self._steps[own].result
