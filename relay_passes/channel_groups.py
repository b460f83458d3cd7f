"""Which tensors share a channel dimension, so that cutting one narrower cuts them all.

    conv a (64) -> relu -> depthwise conv -> conv b (32);  add(conv c (32), b)
    =>  {a, relu, depthwise}: a group of 64 units;  {b, c, add}: a group of 32 units

The channels of every tensor are a list of parts; a part is a group with so many consecutive
channels for each of its units: after a flatten of 5x5 maps a unit has 25, in a grouped convolution
as many as a group has. A layer with weights starts a group; additions and their like make two
groups one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node


def channel_axis(shape: Sequence[int]) -> int:
    """Return 1, or 2 for [1, 1, C, H, W], as which maps are normalised across channels."""
    return 2 if len(shape) == 5 else 1


@dataclass(frozen=True, slots=True)
class Group:
    """A channel dimension.

    Attributes
    ----------
    name : of the first layer, or input, that has it.
    width : units.
    fixed : whether it is the network's input, which cannot be made narrower.
    """

    name: str
    width: int
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class ChannelPart:
    """Consecutive channels of a tensor: ``size`` for every unit of a group, in order."""

    group: int
    size: int = 1


Layout = tuple[ChannelPart, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """Groups, and the layout of every node by its index."""

    groups: tuple[Group, ...]
    layouts: Mapping[int, Layout]


def read_channels(graph: NetworkGraph, nodes: Sequence[Node]) -> Channels:
    """Find the groups of some nodes, given in order and with all that they read.

    Raises
    ------
    PlanError
        An operator mixes or moves channels in a way that has no narrower form; names it.
    """
    reader = _Reader(graph)
    for node in nodes:
        rule = _RULES.get(node.op)
        if rule is None:
            raise PlanError(
                f"{node.name}: {node.op} cannot be divided into branches: how its result depends "
                f"on single channels is not known"
            )
        reader.layouts[node.index] = rule(reader, node)
    return reader.finish()


class _Reader:
    """Groups that grow together while the nodes are read.

    A group that was merged points to its root: ``_links[g] = (h, n)``, n units of g are one of h.
    """

    def __init__(self, graph: NetworkGraph) -> None:
        self.graph = graph
        self.layouts: dict[int, Layout] = {}
        self._groups: list[Group] = []
        self._links: dict[int, tuple[int, int]] = {}

    def new(self, name: str, width: int, fixed: bool = False) -> Layout:
        """Start a group."""
        self._groups.append(Group(name, width, fixed))
        return (ChannelPart(len(self._groups) - 1),)

    def data(self, node: Node) -> list[Layout]:
        """Return the layouts of a node's operands, without the constants'."""
        return [self.layouts[index] for index in node.operands if isinstance(index, int)]

    def width(self, part: ChannelPart) -> int:
        """Units of a part's group."""
        return self._groups[part.group].width

    def root(self, part: ChannelPart) -> ChannelPart:
        """Return the part over the group that its own was merged into."""
        while part.group in self._links:
            group, units = self._links[part.group]
            part = ChannelPart(group, part.size * units)
        return part

    def coarsen(self, part: ChannelPart, width: int) -> ChannelPart:
        """Merge units of the part's group until there are ``width``; return the new part."""
        part = self.root(part)
        group = self._groups[part.group]
        if group.width != width:
            new = self.new(group.name, width, group.fixed)[0].group
            self._links[part.group] = (new, group.width // width)
        return self.root(part)

    def join(self, node: Node, first: Layout, second: Layout) -> Layout:
        """Make two layouts of one tensor the same."""
        first, second = tuple(map(self.root, first)), tuple(map(self.root, second))
        if [self.width(p) * p.size for p in first] != [self.width(p) * p.size for p in second]:
            raise PlanError(
                f"{node.name}: {node.op} of concatenated tensors whose parts differ cannot be "
                f"divided into branches"
            )
        return tuple(map(self._join_parts, first, second))

    def _join_parts(self, first: ChannelPart, second: ChannelPart) -> ChannelPart:
        width = gcd(self.width(self.root(first)), self.width(self.root(second)))
        kept, gone = sorted((self.coarsen(first, width).group, self.coarsen(second, width).group))
        if kept != gone:
            fixed = self._groups[kept].fixed or self._groups[gone].fixed
            self._groups[kept] = Group(self._groups[kept].name, width, fixed)
            self._links[gone] = (kept, 1)
        return self.root(first)

    def finish(self) -> Channels:
        """Return the groups that are left, numbered from 0."""
        roots = [group for group in range(len(self._groups)) if group not in self._links]
        number = {group: new for new, group in enumerate(roots)}
        layouts = {
            node: tuple(
                ChannelPart(number[part.group], part.size) for part in map(self.root, layout)
            )
            for node, layout in self.layouts.items()
        }
        return Channels(tuple(self._groups[group] for group in roots), layouts)


_Rule = Callable[[_Reader, Node], Layout]


def _input(reader: _Reader, node: Node) -> Layout:
    return reader.new(node.name, node.shape[1], fixed=True)


def _conv2d(reader: _Reader, node: Node) -> Layout:
    _require_weights(node)
    groups = int(node.call.attrs.groups)
    if groups == 1:
        return reader.new(node.name, node.shape[1])
    data = [reader.root(part) for part in reader.data(node)[0]]
    if len(data) != 1:
        raise PlanError(
            f"{node.name}: a grouped convolution of concatenated tensors cannot be divided into "
            f"branches"
        )
    part = reader.coarsen(data[0], gcd(reader.width(data[0]), groups))
    return (ChannelPart(part.group, node.shape[1] // reader.width(part)),)


def _matmul(reader: _Reader, node: Node) -> Layout:
    _require_weights(node)
    return reader.new(node.name, node.shape[1])


def _require_weights(node: Node) -> None:
    if isinstance(node.operands[0], Constant) or not isinstance(node.operands[1], Constant):
        raise PlanError(f"{node.name}: {node.op} without constant weights has no width to divide")


def _same(reader: _Reader, node: Node) -> Layout:
    """Channel by channel; operands with one channel and constants broadcast."""
    operands = [reader.graph.nodes[index] for index in node.operands if isinstance(index, int)]
    axis = channel_axis(node.shape)
    own = [x for x in operands if x.shape[axis : axis + 1] == node.shape[axis : axis + 1]]
    if not own or len({len(operand.shape) for operand in operands}) > 1:
        raise PlanError(f"{node.name}: {node.op} makes channels, which cannot be divided")
    joined = reader.layouts[own[0].index]
    for other in own[1:]:
        joined = reader.join(node, joined, reader.layouts[other.index])
    return joined


def _along(axes: Callable[[Node], Sequence[int]]) -> _Rule:
    """Return the rule of an operator that works along axes, of which none may be the channels."""

    def rule(reader: _Reader, node: Node) -> Layout:
        rank = len(reader.graph.nodes[_first(node)].shape)
        if any(axis % rank < 2 for axis in axes(node)):
            raise PlanError(f"{node.name}: {node.op} across channels cannot be divided")
        return _same(reader, node)

    return rule


def _first(node: Node) -> int:
    return next(index for index in node.operands if isinstance(index, int))


def _padded_axes(node: Node) -> list[int]:
    width = [int(value) for value in node.call.attrs.pad_width]
    return [axis for axis in range(len(width) // 2) if any(width[2 * axis : 2 * axis + 2])]


def _sliced_axes(node: Node) -> list[int]:
    return [int(axis) for axis in node.call.args[1].fields]


def _concat(reader: _Reader, node: Node) -> Layout:
    if int(node.call.attrs.axis or 0) % len(node.shape) != 1:
        return _same(reader, node)
    if any(isinstance(operand, Constant) for operand in node.operands):
        raise PlanError(f"{node.name}: constant channels cannot be divided into branches")
    return tuple(part for layout in reader.data(node) for part in layout)


def _reshape(reader: _Reader, node: Node) -> Layout:
    """[1, C, H, W] -> [1, C * H * W], [1, C] -> [1, C, 1, 1], [1, C, H, W] <-> [1, 1, C, H, W]."""
    before, after = reader.graph.nodes[_first(node)].shape, node.shape
    first, second = channel_axis(before), channel_axis(after)
    leading = (*before[:first], *after[:second])
    if any(size != 1 for size in leading) or len(after) < 2 or after[second] % before[first]:
        raise PlanError(
            f"{node.name}: {node.op} {list(before)} -> {list(after)} does not keep channels "
            f"together and cannot be divided into branches"
        )
    # The elements keep their order, so the rest of the shape divides what is inside a channel.
    grown = after[second] // before[first]
    return tuple(ChannelPart(part.group, part.size * grown) for part in reader.data(node)[0])


def _pool3d(reader: _Reader, node: Node) -> Layout:
    """Local response normalisation: a mean over neighbouring channels, in a branch over its own."""
    if node.shape != reader.graph.nodes[_first(node)].shape or len(node.shape) != 5:
        raise PlanError(f"{node.name}: {node.op} across channels cannot be divided")
    return _same(reader, node)


def _axis_attribute(node: Node) -> list[int]:
    axes = node.call.attrs.axis
    return list(range(4)) if axes is None else [int(axis) for axis in axes]


_ELEMENTWISE = ("abs", "add", "astype", "ceil", "clip", "divide", "erf", "exp", "floor", "log",
                "maximum", "minimum", "multiply", "negative", "nn.leakyrelu", "nn.prelu",
                "nn.relu", "nn.silu", "nn.softplus", "power", "round", "rsqrt", "sigmoid", "sqrt",
                "square", "subtract", "tanh")  # fmt: skip
_SPATIAL = ("image.resize2d", "nn.adaptive_avg_pool2d", "nn.avg_pool2d", "nn.max_pool2d")

_RULES: Mapping[str, _Rule] = {
    "input": _input,
    "nn.conv2d": _conv2d,
    "matmul": _matmul,
    "concat": _concat,
    "reshape": _reshape,
    "nn.avg_pool3d": _pool3d,
    "nn.pad": _along(_padded_axes),
    "strided_slice": _along(_sliced_axes),
    **{op: _along(_axis_attribute) for op in ("max", "mean", "min", "sum")},
    **dict.fromkeys((*_ELEMENTWISE, *_SPATIAL), _same),
}
