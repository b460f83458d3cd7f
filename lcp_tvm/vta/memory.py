"""Where activations live in DRAM: each from its producer to its last reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lcp_tvm.vta.concat import Slice
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Graph, plane_of


@dataclass(frozen=True, slots=True)
class Lifetime:
    """First and last step at which a tensor's memory is taken, both included."""

    name: str
    size: int
    first: int
    last: int


def lifetimes(graph: Graph, slices: Mapping[str, Slice], config: VtaConfig) -> tuple[Lifetime, ...]:
    """Sizes (in elements) and lifetimes of a graph's tensors that have memory of their own.

    Inputs and outputs live throughout, so that a memory dump shows them.
    """
    end = len(graph.nodes)
    kept = dict.fromkeys(slices[name].whole for name in (*graph.inputs, *graph.outputs))
    first, last = dict.fromkeys(kept, -1), dict[str, int]()
    for step, node in enumerate(graph.nodes):
        for name in (*node.inputs, node.output):
            first.setdefault(slices[name].whole, step)
            last[slices[name].whole] = step
    last |= dict.fromkeys(kept, end)
    return tuple(
        Lifetime(name, elements(graph, name, config), begin, last[name])
        for name, begin in first.items()
    )


def elements(graph: Graph, name: str, config: VtaConfig) -> int:
    """Size of a tensor."""
    return plane_of(graph.shapes[name]).in_elements(config).size


def place(tensors: tuple[Lifetime, ...]) -> tuple[Mapping[str, int], int]:
    """Give every tensor an offset so that none alive together overlap.

    Largest first, each at the lowest offset that is free: the usual greedy plan.

    Returns
    -------
    offsets : by name, in elements.
    size : elements needed in all.
    """
    placed: list[tuple[Lifetime, int]] = []
    for tensor in sorted(tensors, key=lambda t: (-t.size, t.first, t.name)):
        taken = sorted(
            (offset, offset + other.size)
            for other, offset in placed
            if other.first <= tensor.last and tensor.first <= other.last
        )
        offset = 0
        for begin, end in taken:
            if offset + tensor.size <= begin:
                break
            offset = max(offset, end)
        placed.append((tensor, offset))
    size = max((offset + tensor.size for tensor, offset in placed), default=0)
    return {tensor.name: offset for tensor, offset in placed}, size
