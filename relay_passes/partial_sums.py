"""A convolution or dense layer over ranges of its input channels, and what adds those up.

conv(x)  ->  conv(x[channels 0..8]) + conv(x[channels 8..16]) + ..

LCP, Figure 3, input splitting: each device multiplies what it has of the input with the weights
for it, and one device sums the partial results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

from lcp_tvm.plan.box import Box, Range, full_box
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.relay_passes.grid import even_ranges
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.piece import Part, Piece, carve
from lcp_tvm.relay_passes.recipe import Apply, Crop, Join, Recipe, Step, Sum
from lcp_tvm.relay_passes.slicing import ELEMENTWISE, macs


def input_ranges(graph: NetworkGraph, anchor: int, parts: int) -> tuple[Range, ...]:
    """Cut a layer's input channels, or its features by whole channels of what was flattened.

    Only one range comes of a layer that adds nothing up over channels.
    """
    node = graph.nodes[anchor]
    size = _reduced(node)
    data = node.operands[0]
    unit = _plane(graph, data, size) if isinstance(data, int) else size
    return tuple((begin * unit, end * unit) for begin, end in even_ranges(size // unit, parts))


@dataclass(frozen=True, slots=True)
class Partial:
    """What one task multiplies: a layer, and a range of its input channels."""

    anchor: int
    channels: Range


def carve_partials(
    graph: NetworkGraph, partials: Sequence[Partial], sources: Collection[int]
) -> Piece:
    """Return the piece that computes partial results, each of the shape of the whole."""
    operands = [_operands(graph, partial) for partial in partials]
    piece = carve(graph, [data for data, _ in operands], sources)
    recipe = piece.recipe
    products = []
    for partial, value, (data, weight) in zip(partials, recipe.results, operands, strict=True):
        node = graph.nodes[partial.anchor]
        work = macs(graph, node, node.box, (data.box, weight))
        result = Tensor(node.shape, node.dtype)
        products.append(Apply(node.index, (value, weight), None, result, work))
    first = len(recipe.args) + len(recipe.steps)
    return replace(
        piece,
        recipe=Recipe(
            recipe.args,
            (*recipe.steps, *products),
            tuple(range(first, first + len(products))),
        ),
        writes=tuple(Part(p.anchor, graph.nodes[p.anchor].box) for p in partials),
        computed=(*piece.computed, *(Part(p.anchor, graph.nodes[p.anchor].box) for p in partials)),
    )


def sum_arguments(recipe: Recipe, counts: Sequence[int]) -> Recipe:
    """Return a recipe that takes so many summands in place of each argument."""
    ends = list(accumulate(counts))
    summands = [range(end - count, end) for count, end in zip(counts, ends, strict=True)]
    args = tuple(
        tensor for tensor, count in zip(recipe.args, counts, strict=True) for _ in range(count)
    )
    steps: list[Step] = []
    number: dict[int, int] = {}
    for old, (tensor, values) in enumerate(zip(recipe.args, summands, strict=True)):
        if len(values) == 1:
            number[old] = values[0]
            continue
        number[old] = len(args) + len(steps)
        steps.append(Sum(tuple(values), tensor))
    for old, step in enumerate(recipe.steps, start=len(recipe.args)):
        number[old] = len(args) + len(steps)
        steps.append(_renumbered(step, number))
    return Recipe(args, tuple(steps), tuple(number[value] for value in recipe.results))


def _renumbered(step: Step, number: Mapping[int, int]) -> Step:
    if isinstance(step, Apply):
        return replace(
            step,
            operands=tuple(number[o] if isinstance(o, int) else o for o in step.operands),
        )
    if isinstance(step, Crop):
        return replace(step, value=number[step.value])
    if isinstance(step, Join):
        return replace(step, values=tuple(number[value] for value in step.values))
    return replace(step, values=tuple(number[value] for value in step.values))


def _reduced(node: Node) -> int:
    """Input channels that every result sums over; 1 for an operator that sums over none."""
    weight = node.operands[1] if len(node.operands) > 1 else None
    if not isinstance(weight, Constant) or not isinstance(node.operands[0], int):
        return 1
    if node.op == "nn.conv2d" and _sums_all_channels(node):
        return weight.shape[1]
    if node.op == "matmul" and len(node.shape) == 2 and len(weight.shape) == 2:
        return weight.shape[0]
    return 1


def _sums_all_channels(node: Node) -> bool:
    attrs = node.call.attrs
    return int(attrs.groups) == 1 and (attrs.data_layout, attrs.kernel_layout) == ("NCHW", "OIHW")


def _plane(graph: NetworkGraph, data: int, size: int) -> int:
    """Features that one channel flattens to; 1 where nothing was flattened."""
    node = graph.nodes[data]
    while node.op in ELEMENTWISE and isinstance(node.operands[0], int):
        node = graph.nodes[node.operands[0]]
    if node.op not in ("reshape", "flatten") or not isinstance(node.operands[0], int):
        return 1
    shape = graph.nodes[node.operands[0]].shape
    return prod(shape[2:]) if shape[:1] == (1,) and prod(shape) == size else 1


def _operands(graph: NetworkGraph, partial: Partial) -> tuple[Part, Box]:
    """Return the parts of data and weight that a range of input channels takes."""
    node = graph.nodes[partial.anchor]
    data, weight = node.operands
    assert isinstance(data, int)
    assert isinstance(weight, Constant)
    axis = 1 if node.op == "nn.conv2d" else 0
    box = graph.nodes[data].box
    kernels = full_box(weight.shape)
    return (
        Part(data, (box[0], partial.channels, *box[2:])),
        (*kernels[:axis], partial.channels, *kernels[axis + 1 :]),
    )
