"""What one task computes: from the boxes it writes back to the boxes it reads.

carve(graph, targets=[conv2 rows 0..8], sources={input})
=>  reads input rows 0..12; conv1 rows 0..10; conv2 rows 0..8
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.recipe import Apply, Recipe, RecipeWriter
from lcp_tvm.relay_passes.slicing import Slicing, macs, slice_operator


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a node: what a task reads or writes."""

    node: int
    box: Box


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
    operands = [
        box
        if box is None or isinstance(operand, Constant)
        else _assemble(writer, available[operand], box)
        for operand, box in zip(node.operands, slicing.operands, strict=True)
    ]
    needed = [operand for operand in operands if operand is not None]
    if node.op == "concat" and len(needed) == 1 and isinstance(needed[0], int):
        return needed[0]  # all of it comes from one operand
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
