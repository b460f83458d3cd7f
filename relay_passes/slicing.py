"""Which boxes of its operands an operator needs for a box of its result; one rule an operator.

DeepThings, equations 1 and 2, for any kernel, dilation, stride and padding: rows [a, b) of a
convolution read rows [a s - p, (b - 1) s + (k - 1) d + 1 - p) of its data, and what lies outside
the data is the padding that this part of the result keeps. Channels are cut the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from lcp_tvm.plan.box import Box, Range, full_box
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node

Padding = tuple[int, ...]
"""Before each axis and then after each: top, left, bottom, right."""


@dataclass(frozen=True, slots=True)
class Slicing:
    """How a part of a result is computed.

    Attributes
    ----------
    box : what is computed; it holds the box that was asked for.
    operands : per operand the box that is read; None where nothing of it is needed.
    padding : of a convolution or pool, in place of the operator's own; None keeps that.
    """

    box: Box
    operands: tuple[Box | None, ...]
    padding: Padding | None = None


Rule = Callable[[NetworkGraph, Node, Box], Slicing]


def slice_operator(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    """Return what computing ``box`` of ``node`` takes; an operator without a rule takes all."""
    if box == node.box:
        return _whole(graph, node, box)
    return RULES.get(node.op, _whole)(graph, node, box)


def macs(graph: NetworkGraph, node: Node, box: Box, operands: tuple[Box | None, ...]) -> int:
    """Multiply-accumulates of computing ``box`` from these boxes of the operands."""
    results = prod(end - begin for begin, end in box)
    if node.op == "nn.conv2d":
        weight = operands[1] or ()
        return results * prod(end - begin for begin, end in weight[1:])
    if node.op == "nn.conv2d_transpose":
        data, weight = (operand or () for operand in operands)
        return prod(end - begin for begin, end in (*data, *weight[1:]))
    if node.op == "matmul":
        (begin, end) = (operands[0] or ())[-1]
        return results * (end - begin)
    return 0


def _shapes(graph: NetworkGraph, node: Node) -> list[tuple[int, ...]]:
    return [
        operand.shape if isinstance(operand, Constant) else graph.nodes[operand].shape
        for operand in node.operands
    ]


def _whole(graph: NetworkGraph, node: Node, _: Box) -> Slicing:
    return Slicing(node.box, tuple(full_box(shape) for shape in _shapes(graph, node)))


def _elementwise(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    return Slicing(box, tuple(_broadcast(shape, box) for shape in _shapes(graph, node)))


def _broadcast(shape: tuple[int, ...], box: Box) -> Box:
    """Return what an operand of this shape gives to ``box`` of the result; sides of 1 repeat."""
    if not shape:
        return ()
    return tuple(
        (0, 1) if size == 1 else side for size, side in zip(shape, box[-len(shape) :], strict=True)
    )


def _window(side: Range, size: int, kernel: int, stride: int, dilation: int, pad: int) -> Any:
    """Rows or columns that a window reads for ``side``, and the padding before and after."""
    begin = side[0] * stride - pad
    end = (side[1] - 1) * stride - pad + (kernel - 1) * dilation + 1
    inside = (min(max(begin, 0), size), max(min(end, size), 0))
    if inside[0] >= inside[1]:  # only padding is read; keep one element and pad around it
        at = min(max(begin, 0), size - 1)
        inside = (at, at + 1)
    return inside, inside[0] - begin, end - inside[1]


def _windows(node: Node, data: tuple[int, ...], box: Box, kernel: Sequence[int]) -> Any:
    attrs = node.call.attrs
    rows, before, after = zip(
        *(
            _window(
                box[2 + axis],
                data[2 + axis],
                int(kernel[axis]),
                int(attrs.strides[axis]),
                int(attrs.dilation[axis]),
                int(attrs.padding[axis]),
            )
            for axis in range(len(kernel))
        ),
        strict=True,
    )
    return rows, (*before, *after)


def _conv2d(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    data, weight = _shapes(graph, node)
    groups = int(node.call.attrs.groups)
    if not isinstance(node.operands[1], Constant) or not _plain(node):
        return _whole(graph, node, box)
    sides, padding = _windows(node, data, box, weight[2:])
    if any(pad < 0 for pad in padding):  # windows that read nothing but padding
        return _whole(graph, node, box)
    channels = box[1]
    inputs = (0, data[1])
    if groups > 1:
        per_group = weight[0] // groups
        first, last = channels[0] // per_group, -(-channels[1] // per_group)
        if last - first > 1:  # within one group it is a convolution of that group's inputs
            channels = (first * per_group, last * per_group)
        inputs = (first * weight[1], last * weight[1])
    grown = (box[0], channels, *box[2:])
    kernels = (channels, *((0, size) for size in weight[1:]))
    return Slicing(grown, ((box[0], inputs, *sides), kernels), padding)


def _pool(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    (data,) = _shapes(graph, node)
    if not _plain(node):
        return _whole(graph, node, box)
    sides, padding = _windows(node, data, box, node.call.attrs.pool_size)
    if any(pad < 0 for pad in padding):
        return _whole(graph, node, box)
    return Slicing(box, ((box[0], box[1], *sides),), padding)


def _plain(node: Node) -> bool:
    """Whether a convolution or pool has a layout and rounding that the rules know."""
    attrs = node.call.attrs
    if node.op == "nn.conv2d" and str(attrs.kernel_layout) != "OIHW":
        return False
    layout = attrs.data_layout if node.op == "nn.conv2d" else attrs.layout
    # With ceil_mode the last window reaches beyond the padding, which is then not counted.
    rounds = node.op.startswith("nn.avg_pool") and bool(attrs.ceil_mode) and attrs.count_include_pad
    return str(layout) in ("NCHW", "NCDHW") and not rounds


def _matmul(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    left, right = _shapes(graph, node)
    if len(left) != 2 or len(right) != 2:
        return _whole(graph, node, box)
    return Slicing(box, ((box[0], (0, left[1])), ((0, right[0]), box[1])))


def _concat(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    axis = int(node.call.attrs.axis) % len(node.shape)
    begin, end = box[axis]
    at, boxes = 0, []
    for shape in _shapes(graph, node):
        part = (max(begin - at, 0), min(end - at, shape[axis]))
        boxes.append((*box[:axis], part, *box[axis + 1 :]) if part[0] < part[1] else None)
        at += shape[axis]
    return Slicing(box, tuple(boxes))


def _reduce(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    (data,) = _shapes(graph, node)
    attrs = node.call.attrs
    axes = {int(axis) % len(data) for axis in attrs.axis} if attrs.axis else set(range(len(data)))
    kept = [axis for axis in range(len(data)) if attrs.keepdims or axis not in axes]
    sides = [(0, size) for size in data]
    for axis, side in zip(kept, box, strict=True):
        if axis not in axes:
            sides[axis] = side
    return Slicing(box, (tuple(sides),))


def _permute_dims(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    (data,) = _shapes(graph, node)
    order = node.call.attrs.axes
    axes = [int(axis) % len(data) for axis in order] if order else range(len(data))[::-1]
    sides = dict(zip(axes, box, strict=True))
    return Slicing(box, (tuple(sides[axis] for axis in range(len(data))),))


def _reshape(graph: NetworkGraph, node: Node, box: Box) -> Slicing:
    """Cut along the outermost of the axes that are merged or divided together.

    [1, C, H, W] -> [1, C * H * W] goes by whole channels, [1, C] -> [1, G, C / G] by whole groups.
    """
    data = _shapes(graph, node)[0]
    sides = [(0, size) for size in data]
    grown = [(0, size) for size in node.shape]
    for before, after in _blocks(data, node.shape):
        inner = prod(data[axis] for axis in before[1:])
        unit = prod(node.shape[axis] for axis in after[1:])
        begin, end = (at * unit for at in box[after[0]])
        first, last = begin // inner, -(-end // inner)
        if first * inner % unit or last * inner % unit:
            continue
        sides[before[0]] = (first, last)
        grown[after[0]] = (first * inner // unit, last * inner // unit)
    return Slicing(tuple(grown), (tuple(sides),))


def _blocks(data: Sequence[int], result: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Pair the axes of a reshape that turn into each other, without sides of 1."""
    left = [axis for axis, size in enumerate(data) if size != 1]
    right = [axis for axis, size in enumerate(result) if size != 1]
    while left and right:
        before, after = [left.pop(0)], [right.pop(0)]
        sizes = data[before[0]], result[after[0]]
        while sizes[0] != sizes[1]:
            if sizes[0] < sizes[1]:
                before.append(left.pop(0))
                sizes = sizes[0] * data[before[-1]], sizes[1]
            else:
                after.append(right.pop(0))
                sizes = sizes[0], sizes[1] * result[after[-1]]
        yield before, after


ELEMENTWISE = frozenset(
    (
        "abs", "add", "astype", "ceil", "clip", "divide", "erf", "exp", "floor", "left_shift",
        "log", "maximum", "minimum", "multiply", "negative", "nn.gelu", "nn.leakyrelu", "nn.relu",
        "nn.relu6", "nn.silu", "power", "right_shift", "round", "rsqrt", "sigmoid", "sqrt",
        "square", "subtract", "tanh",
    )
)  # fmt: skip
"""Operators whose every element depends on the elements of the same place alone."""

POOLS = frozenset(("nn.max_pool2d", "nn.avg_pool2d", "nn.max_pool3d", "nn.avg_pool3d"))

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "nn.conv2d": _conv2d,
    **dict.fromkeys(POOLS, _pool),
    "matmul": _matmul,
    "concat": _concat,
    "mean": _reduce,
    "sum": _reduce,
    "max": _reduce,
    "reshape": _reshape,
    "flatten": _reshape,
    "permute_dims": _permute_dims,
}
