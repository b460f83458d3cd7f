"""Which tensors become int8, and which of those share one scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lcp_tvm.quantise.graph import ACTIVATIONS, Graph, shape_of

_PASSES = frozenset({"nn.max_pool2d", "reshape", "concat"})  # keep the scale of what they read


@dataclass(frozen=True, slots=True)
class Points:
    """Where quantize/dequantize pairs go.

    Attributes
    ----------
    quantised : variables that get a pair, in order of computation.
    scale_of : int8 variable -> the one that stands for all variables of its scale. Max pooling,
        reshape and concat have the scale of their inputs; inputs of one add share a scale too.
    """

    quantised: tuple[str, ...]
    scale_of: dict[str, str]


def find_points(graph: Graph) -> Points:
    """Quantise the input of every layer, and the output of every group that integers can do.

    A group is a layer with bias, residual add and activation, or an add with its activation, or
    global average pooling. Anything else stays float.
    """
    wanted = _wanted(graph)
    inner = _inside_groups(graph)
    outputs = {layer.output for layer in graph.layers}
    quantised = [graph.input] if graph.input in wanted else []
    scales = _Scales()
    integer = set(quantised)
    for name in graph.bindings:
        operands, op = graph.operands(name), graph.op(name)
        computed = all(operand in integer for operand in operands) and bool(operands)
        if name in inner:
            continue
        if computed and op in _PASSES:
            scales.unite(*operands, name)
        elif name in outputs or name in wanted or (computed and _computes(graph, name)):
            quantised.append(name)
            if op == "add" and computed and name not in outputs:
                scales.unite(*operands)
        elif computed and op == "add" and _same_shapes(graph, name):
            # The activation that follows is quantised in the add's stead.
            scales.unite(*operands)
        else:
            continue
        integer.add(name)
    roots = {scales.root(name) for name in quantised}
    scale_of = {name: scales.root(name) for name in integer if scales.root(name) in roots}
    return Points(tuple(quantised), scale_of)


def _wanted(graph: Graph) -> set[str]:
    """What layers read, followed up through operators that only move numbers."""
    wanted = {layer.data for layer in graph.layers}
    for name in reversed(list(graph.bindings)):
        if name in wanted and graph.op(name) in _PASSES:
            wanted.discard(name)
            wanted.update(graph.operands(name))
    return wanted


def _inside_groups(graph: Graph) -> set[str]:
    """Variables of a layer's chain that are not its output: they stay in the accumulator."""
    inner: set[str] = set()
    for layer in graph.layers:
        name: str | None = layer.name
        while name is not None and name != layer.output:
            inner.add(name)
            name = graph.sole_reader(name)
    return inner


def _computes(graph: Graph, name: str) -> bool:
    """Whether the binding is an operator that computes on int8 inputs and gives int8."""
    op = graph.op(name)
    if op == "mean":
        axes = graph.bindings[name].attrs.axis or ()
        return sorted(int(axis) % 4 for axis in axes) == [2, 3]
    if op == "add":
        reader = graph.sole_reader(name)
        return _same_shapes(graph, name) and (reader is None or graph.op(reader) not in ACTIVATIONS)
    return op in ACTIVATIONS


def _same_shapes(graph: Graph, add: str) -> bool:
    shapes = {shape_of(arg) for arg in graph.bindings[add].args}
    return len(graph.operands(add)) == 2 and len(shapes) == 1


class _Scales:
    """Disjoint sets of variables that share a scale."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name

    def unite(self, *names: str) -> None:
        roots: Iterable[str] = dict.fromkeys(self.root(name) for name in names)
        first, *others = roots
        for other in others:
            self._parent[other] = first
