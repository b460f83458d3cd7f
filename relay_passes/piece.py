"""What one task computes: from the boxes it writes back to the boxes it reads.

    carve(graph, targets=[conv2 rows 0..8], sources={input})
    =>  reads input rows 0..12; conv1 rows 0..10; conv2 rows 0..8

A piece's recipe says the same without places: two tiles of one shape have equal recipes, and so
share one function.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import (
    Box,
    box_shape,
    contains,
    hull,
    intersect,
    overlaps,
    relative,
    uncovered,
)
from lcp_tvm.plan.plan import ITEM_SIZE, Cost, Function, Tensor
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.slicing import (
    ELEMENTWISE,
    Padding,
    Slicing,
    macs,
    slice_operator,
)


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a node: what a task reads or writes."""

    node: int
    box: Box


@dataclass(frozen=True, slots=True)
class Apply:
    """A node's operator on values, and on these boxes of its constants."""

    node: int
    operands: tuple[int | Box, ...]
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


@dataclass(frozen=True, slots=True)
class Piece:
    """A recipe and its places.

    Attributes
    ----------
    reads, writes : what the arguments and results are.
    borrowed : for each of the last reads, the number of the given part it is taken from.
    computed : what is computed of every node, in order.
    """

    recipe: Recipe
    reads: tuple[Part, ...]
    writes: tuple[Part, ...]
    borrowed: tuple[int, ...]
    computed: tuple[Part, ...]

    @property
    def macs(self) -> int:
        return sum(step.macs for step in self.recipe.steps if isinstance(step, Apply))


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
        operands: Sequence[int | Box],
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


@dataclass(frozen=True, slots=True)
class Trace:
    """What computing some targets takes: the first half of carving.

    Attributes
    ----------
    reads : of the sources, in the order of the graph.
    borrowed : of the given parts, with their numbers.
    computed : every node with how its part is computed, in order.
    """

    reads: tuple[Part, ...]
    borrowed: tuple[tuple[int, Part], ...]
    computed: tuple[tuple[int, Slicing], ...]

    def macs(self, graph: NetworkGraph) -> int:
        """Multiply-accumulates."""
        return sum(
            macs(graph, graph.nodes[index], slicing.box, slicing.operands)
            for index, slicing in self.computed
        )


def trace(
    graph: NetworkGraph,
    targets: Sequence[Part],
    sources: Collection[int],
    given: Sequence[Part] = (),
) -> Trace:
    """Walk back from the targets to the sources; arguments and errors as of `carve`."""
    demand: dict[int, list[Box]] = {}
    for target in targets:
        demand.setdefault(target.node, []).append(target.box)
    reads: list[Part] = []
    borrowed: list[tuple[int, Part]] = []
    computed = []
    for index in range(max(demand), -1, -1):
        if index not in demand:
            continue
        wanted = hull(demand[index])
        if index in sources:
            reads.append(Part(index, wanted))
            continue
        node = graph.nodes[index]
        if node.op == "input":
            raise PlanError(f"{node.name}: is needed by a piece that does not read it")
        taken = _take(index, wanted, given)
        borrowed += taken
        own = uncovered(wanted, [part.box for _, part in taken]) if taken else wanted
        if own is None:
            continue
        slicing = slice_operator(graph, node, own)
        computed.append((index, slicing))
        for operand, box in zip(node.operands, slicing.operands, strict=True):
            if isinstance(operand, int) and box is not None:
                demand.setdefault(operand, []).append(box)
    return Trace(tuple(reversed(reads)), tuple(borrowed), tuple(reversed(computed)))


def carve(
    graph: NetworkGraph,
    targets: Sequence[Part],
    sources: Collection[int],
    given: Sequence[Part] = (),
) -> Piece:
    """Return the piece that computes the targets.

    Parameters
    ----------
    targets : what it writes, in order.
    sources : nodes that are read, as far as they are needed, and not computed.
    given : parts that others have computed; what they hold is read and not computed again, from
        the first of them that holds it.

    Returns
    -------
    piece : it reads the sources in the order of the graph, then the given parts that it needs.

    Raises
    ------
    PlanError
        A target needs an input of the network that is no source.
    """
    traced = trace(graph, targets, sources, given)
    reads = [*traced.reads, *(part for _, part in traced.borrowed)]
    writer = RecipeWriter(graph)
    available: dict[int, list[tuple[Box, int]]] = {}
    for part in reads:
        value = writer.argument(Tensor(box_shape(part.box), graph.nodes[part.node].dtype))
        available.setdefault(part.node, []).append((part.box, value))
    for index, slicing in traced.computed:
        value = _compute(writer, graph, graph.nodes[index], slicing, available)
        available.setdefault(index, []).append((slicing.box, value))
    results = [_assemble(writer, available[target.node], target.box) for target in targets]
    return Piece(
        writer.finish(results),
        tuple(reads),
        tuple(targets),
        tuple(number for number, _ in traced.borrowed),
        tuple(Part(index, slicing.box) for index, slicing in traced.computed),
    )


def _compute(
    writer: RecipeWriter,
    graph: NetworkGraph,
    node: Node,
    slicing: Slicing,
    available: Mapping[int, list[tuple[Box, int]]],
) -> int:
    """Write the step that computes a part of a node."""
    operands: list[int | Box] = []
    for operand, box in zip(node.operands, slicing.operands, strict=True):
        if box is None:
            continue
        if isinstance(operand, Constant):
            operands.append(box)
        else:
            operands.append(_assemble(writer, available[operand], box))
    if node.op == "concat" and len(operands) == 1 and isinstance(operands[0], int):
        return operands[0]  # all of it comes from one operand
    return writer.apply(node.index, slicing.box, operands, slicing.operands, slicing.padding)


def _take(node: int, wanted: Box, given: Sequence[Part]) -> list[tuple[int, Part]]:
    """Return what the given parts hold of a box, nothing twice, with their numbers."""
    taken: list[tuple[int, Part]] = []
    for number, part in enumerate(given):
        if part.node != node or not overlaps(part.box, wanted):
            continue
        rest = uncovered(intersect(part.box, wanted), [other.box for _, other in taken])
        if rest is not None:
            taken.append((number, Part(node, rest)))
    return taken


def _assemble(writer: RecipeWriter, parts: Sequence[tuple[Box, int]], box: Box) -> int:
    """Return the value of a box that the parts cover together: crops, joined along cuts.

    Cuts run along the sides of parts, columns first: the parts that neighbouring tiles give are
    as high as the tile or lie between those that are.
    """
    for place, value in parts:
        if contains(place, box):
            return writer.crop(value, relative(box, place))
    near = [place for place, _ in parts if overlaps(place, box)]
    for axis in reversed(range(len(box))):
        low, high = box[axis]
        borders = {at for place in near for at in place[axis] if low < at < high}
        if borders:
            points = [low, *sorted(borders), high]
            slabs = [
                (*box[:axis], (begin, end), *box[axis + 1 :]) for begin, end in pairwise(points)
            ]
            return writer.join([_assemble(writer, parts, slab) for slab in slabs], axis)
    raise AssertionError(f"no part holds {box}")


def function_of(graph: NetworkGraph, recipe: Recipe) -> Function:
    """Return a recipe's signature and cost.

    An elementwise operator that is the only reader of its operand is computed in one loop with
    it, as TVM fuses them: the operand takes no memory and moves no elements.
    """
    values = len(recipe.args) + len(recipe.steps)
    readers: list[list[int]] = [[] for _ in range(values)]
    for number, step in enumerate(recipe.steps, start=len(recipe.args)):
        for value in _operands(step):
            readers[value].append(number)
    fused = [False] * values
    stored_at = list(range(values))  # the step that a fused value's chain ends with
    for value in range(values - 1, len(recipe.args) - 1, -1):
        if len(readers[value]) != 1 or value in recipe.results:
            continue
        reader = recipe.steps[readers[value][0] - len(recipe.args)]
        if isinstance(reader, Sum) or (
            isinstance(reader, Apply) and graph.nodes[reader.node].op in ELEMENTWISE
        ):
            fused[value] = True
            stored_at[value] = stored_at[readers[value][0]]

    last = [value if not readers[value] else 0 for value in range(values)]
    for value in range(values):
        for reader_at in readers[value]:
            last[value] = max(last[value], stored_at[reader_at])
    for value in recipe.results:
        last[value] = values
    sizes = [0 if fused[value] else recipe.tensor(value).nbytes for value in range(values)]
    return Function(
        args=recipe.args,
        results=tuple(recipe.tensor(value) for value in recipe.results),
        cost=Cost(
            macs=sum(step.macs for step in recipe.steps if isinstance(step, Apply)),
            elements=sum(
                prod(recipe.tensor(value).shape)
                for value in range(len(recipe.args), values)
                if not fused[value] and not _is_layer(graph, recipe, value)
            ),
            weight_bytes=_weight_bytes(graph, recipe),
            peak_bytes=_peak(sizes, last, len(recipe.args)),
        ),
    )


def _operands(step: Step) -> tuple[int, ...]:
    if isinstance(step, Apply):
        return tuple(operand for operand in step.operands if isinstance(operand, int))
    return (step.value,) if isinstance(step, Crop) else step.values


def _is_layer(graph: NetworkGraph, recipe: Recipe, value: int) -> bool:
    """Whether a value is the end of a loop with multiply-accumulates in it."""
    step = recipe.steps[value - len(recipe.args)]
    while isinstance(step, Apply) and not step.macs and graph.nodes[step.node].op in ELEMENTWISE:
        before = [operand for operand in step.operands if isinstance(operand, int)]
        if not before or before[0] < len(recipe.args):
            return False
        step = recipe.steps[before[0] - len(recipe.args)]
    return isinstance(step, Apply) and step.macs > 0


def _weight_bytes(graph: NetworkGraph, recipe: Recipe) -> int:
    """Bytes of the constants that a recipe reads, each once."""
    found: dict[tuple[int, Box], int] = {}
    for step in recipe.steps:
        if not isinstance(step, Apply):
            continue
        constants = [c for c in graph.nodes[step.node].operands if isinstance(c, Constant)]
        boxes = [box for box in step.operands if not isinstance(box, int)]
        for constant, box in zip(constants, boxes, strict=True):
            found[id(constant), box] = prod(box_shape(box)) * ITEM_SIZE[constant.dtype]
    return sum(found.values())


def _peak(sizes: list[int], last: list[int], args: int) -> int:
    """Bytes of the values alive at the worst step; arguments live from the start."""
    deaths: dict[int, int] = {}
    for value, step in enumerate(last):
        deaths[step] = deaths.get(step, 0) + sizes[value]
    alive = peak = sum(sizes[:args])
    for value in range(args, len(sizes)):
        alive += sizes[value]
        peak = max(peak, alive)
        alive -= deaths.get(value, 0)
    return peak
