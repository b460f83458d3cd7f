"""A GEMM as VTA executes it: two hardware loops around a list of micro-ops.

A tile's multiply-accumulates are a nest of affine dimensions, reductions and parallel ones.
Two of them become the instruction's loops, the rest is unrolled into micro-ops, reductions
outside and parallel dimensions inside, so that a destination comes back only after a whole
sweep of the parallel ones: that keeps the accumulator hazard away (vta.md "Accumulator hazard").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import prod

import numpy as np

SAFE_DISTANCE = 16
"""Issue slots between two writes of one accumulator element that any known build stands."""


@dataclass(frozen=True, slots=True)
class Dim:
    """``size`` steps that move the destination, source and weight index by these strides.

    A reduction does not move the destination.
    """

    size: int
    dst: int
    src: int
    wgt: int

    @property
    def reduces(self) -> bool:
        return self.dst == 0

    def strides(self) -> tuple[int, int, int]:
        return self.dst, self.src, self.wgt


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops of one GEMM instruction, outer first, and the dimensions left to micro-ops."""

    outer: Dim
    inner: Dim
    unrolled: tuple[Dim, ...]

    @property
    def uop_count(self) -> int:
        return prod(dim.size for dim in self.unrolled)

    @property
    def issue_slots(self) -> int:
        """Cycles on the array: one micro-op each."""
        return self.outer.size * self.inner.size * self.uop_count

    def uops(self) -> np.ndarray:
        """Micro-ops ``[n, 3]``: destination, source, weight, relative to the tile's bases."""
        table = np.zeros((1, 3), dtype=np.int32)
        for dim in self.unrolled:
            steps = np.arange(dim.size, dtype=np.int32)[:, None] * np.array(
                dim.strides(), dtype=np.int32
            )
            table = (table[:, None, :] + steps[None, :, :]).reshape(-1, 3)
        return table


_ONE = Dim(1, 0, 0, 0)


def merge(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """Drop dimensions of one step and join neighbours whose strides continue each other."""
    merged: list[Dim] = []
    for dim in dims:
        if dim.size == 1:
            continue
        if merged:
            last = merged[-1]
            if last.strides() == tuple(stride * dim.size for stride in dim.strides()):
                merged[-1] = Dim(last.size * dim.size, *dim.strides())
                continue
        merged.append(dim)
    return tuple(merged)


def split_partials(dims: Sequence[Dim], tile: int, distance: int) -> tuple[tuple[Dim, ...], int]:
    """Make sweeps of at least ``distance`` issue slots by accumulating into partial sums.

    A tile with few outputs (a dense layer's last block, say) would meet the same destination
    again too soon. Its reductions are split: a part of them writes copies of the tile,
    ``tile`` elements apart, which are added up afterwards.

    Returns
    -------
    dims : with the new parallel dimensions.
    copies : number of copies of the tile, 1 when nothing had to be split.
    """
    parallel = prod(dim.size for dim in dims if not dim.reduces)
    reductions = sorted((d for d in dims if d.reduces), key=lambda d: -d.size)
    rest = [dim for dim in dims if not dim.reduces]
    copies = 1
    for dim in reductions:
        wanted = -(-distance // (parallel * copies))
        parts = [p for p in range(1, min(dim.size, 4 * wanted) + 1) if dim.size % p == 0]
        part = min((p for p in parts if p >= wanted), default=parts[-1])
        if part > 1:
            run = dim.size // part
            rest.append(Dim(part, tile * copies, dim.src * run, dim.wgt * run))
            copies *= part
            dim = Dim(run, 0, dim.src, dim.wgt)
        rest.append(dim)
    return tuple(rest), copies


@lru_cache(maxsize=65536)
def plan_nest(dims: tuple[Dim, ...], distance: int) -> Nest | None:
    """Choose the loops that leave the fewest micro-ops and keep the hazard ``distance``.

    None when no choice is safe.
    """
    order = [
        *merge([dim for dim in dims if dim.reduces]),
        *merge([dim for dim in dims if not dim.reduces]),
    ]
    loops = [*range(len(order)), None, None]
    candidates = []
    for i, j in permutations(loops, 2):
        outer = _ONE if i is None else order[i]
        inner = _ONE if j is None else order[j]
        unrolled = tuple(dim for k, dim in enumerate(order) if k not in (i, j))
        order_distance = _distance((outer, inner, *unrolled))
        if order_distance is None or order_distance >= distance:
            candidates.append(Nest(outer, inner, unrolled))
    return min(candidates, key=lambda nest: nest.uop_count, default=None)


def plan_nests(dims: tuple[Dim, ...], distance: int) -> list[tuple[Nest, int, int]]:
    """Nests that together do all of ``dims``, with their source and weight offsets.

    One where it can be safe, else one for each step of the longest reduction: between two
    instructions the pipeline drains.
    """
    nest = plan_nest(dims, distance)
    if nest is not None:
        return [(nest, 0, 0)]
    longest = max((dim for dim in dims if dim.reduces), key=lambda dim: dim.size)
    rest = list(dims)
    rest.remove(longest)
    return [
        (nest, src + step * longest.src, wgt + step * longest.wgt)
        for step in range(longest.size)
        for nest, src, wgt in plan_nests(tuple(rest), distance)
    ]


def _distance(order: Sequence[Dim]) -> int | None:
    """Issue slots between two writes of one destination; None when none is written twice."""
    slots = 1
    for dim in reversed(order):
        if dim.reduces and dim.size > 1:
            return slots
        slots *= dim.size
    return None
