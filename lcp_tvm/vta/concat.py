"""Concatenation by address: what is concatenated lies side by side in the memory of the result.

    c = concat(a, b)    =>    a: c from element 0; b: c from the first element behind a

So a producer stores straight into its part of ``c``, and who reads ``a`` alone reads that part.
A tensor that would have to lie in two places is copied by an identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import (
    Concat,
    Conv,
    Graph,
    Node,
    Requantise,
    Weights,
    Window,
    plane_of,
)

Content = tuple[tuple[int, str], ...]
"""Tensors that layers make, or callers give, and the elements at which they begin."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Memory of a tensor: ``offset`` elements into that of ``whole``."""

    whole: str
    offset: int


def by_address(graph: Graph, config: VtaConfig) -> tuple[Graph, Mapping[str, Slice]]:
    """Return the graph without concatenations, and where each of its tensors lies."""
    layout = _Layout(dict(graph.shapes), config)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.layer, Concat):
            nodes += layout.concatenate(node)
        else:
            nodes.append(node)
    slices = {name: layout.slice_of(name) for name in layout.shapes}
    return replace(graph, shapes=layout.shapes, nodes=tuple(nodes)), slices


@dataclass(slots=True)
class _Layout:
    """What lies where so far; tensors that are named nowhere have memory of their own."""

    shapes: dict[str, tuple[int, ...]]
    config: VtaConfig
    _slices: dict[str, Slice] = field(default_factory=dict)
    _contents: dict[str, Content] = field(default_factory=dict)

    def slice_of(self, name: str) -> Slice:
        found = Slice(name, 0)
        while found.whole in self._slices:
            outer = self._slices[found.whole]
            found = Slice(outer.whole, outer.offset + found.offset)
        return found

    def concatenate(self, node: Node) -> Iterator[Node]:
        """Place the inputs of a concatenation; yield the copies that this takes."""
        offsets = np.cumsum([0, *(self._size(name) for name in node.inputs)])
        places = list(zip(map(int, offsets), node.inputs, strict=False))
        wanted = {part for at, name in places for part in self._content(name, at)}
        kept: list[tuple[int, str]] = []
        for at, name in places:
            if not self._place(name, node.output, at, wanted):
                copy = self._copy(name)
                yield copy
                name = copy.output
                self._slices[name] = Slice(node.output, at)
            kept += self._content(name, at)
        self._contents[node.output] = tuple(kept)

    def _place(self, name: str, whole: str, offset: int, wanted: set[tuple[int, str]]) -> bool:
        """Make a tensor a part of another with all that it lies side by side with, if it can."""
        now = self.slice_of(name)
        if now.whole == whole:
            return now.offset == offset
        base = offset - now.offset
        if base < 0 or not wanted.issuperset(self._content(now.whole, base)):
            return False
        self._slices[now.whole] = Slice(whole, base)
        return True

    def _content(self, name: str, offset: int) -> Content:
        parts = self._contents.get(name, ((0, name),))
        return tuple((offset + at, part) for at, part in parts)

    def _size(self, name: str) -> int:
        return plane_of(self.shapes[name]).in_elements(self.config).size

    def _copy(self, name: str) -> Node:
        plane = plane_of(self.shapes[name])
        copy = f"{name}_copy"
        while copy in self.shapes:
            copy += "_copy"
        self.shapes[copy] = self.shapes[name]
        layer = Conv(
            name=copy,
            kind="copy",
            source=plane,
            target=plane,
            window=Window((1, 1)),
            weights=Weights.UNIFORM,
            weight=np.array(1),
            bias=np.zeros(plane.channels, dtype=np.int32),
            requantise=Requantise(0, -128, 127),
            skip_shift=None,
            macs=0,
        )
        return Node(layer, (name,), copy)
