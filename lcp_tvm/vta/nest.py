"""A tile's GEMM as VTA executes it: two hardware loops around a list of micro-ops.

What a tile multiplies is a nest: input blocks, kernel rows and columns (reductions), output
blocks, frames, rows and columns. Zeros around the input are never loaded nor multiplied: beside
an edge a kernel position meets fewer outputs. Two directions become the instruction's loops, the
rest is unrolled into micro-ops, reductions outside, so that a destination comes back only after a
whole sweep of outputs: that keeps the accumulator hazard away (vta.md "Accumulator hazard").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, permutations, product
from math import prod
from typing import Literal

import numpy as np

SAFE_DISTANCE = 16
"""Issue slots between two writes of one accumulator element that any known build stands."""

Strides = tuple[int, int, int]
"""Of destination, source and weight."""


@dataclass(frozen=True, slots=True)
class Dim:
    """``size`` steps that move the destination, source and weight index by these strides."""

    size: int
    dst: int
    src: int
    wgt: int

    @property
    def strides(self) -> Strides:
        return self.dst, self.src, self.wgt


ONE = Dim(1, 0, 0, 0)

ONE_UOP = np.zeros((1, 3), dtype=np.int32)
"""A list of one micro-op at the tile's bases."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A kernel position of one direction, and the outputs that it meets inside the plane."""

    position: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of a window, rows or columns.

    Attributes
    ----------
    taps : kernel positions, ascending; what they meet may differ beside an edge.
    tap, output : strides of one step of the kernel and of the outputs.
    origin : elements of the first output at the first position; the source's is padding when
        negative.
    """

    taps: tuple[Tap, ...]
    tap: Strides
    output: Strides
    origin: Strides

    @property
    def products(self) -> int:
        """Pairs of a kernel position and an output that it meets."""
        return sum(tap.end - tap.begin for tap in self.taps)

    def groups(self) -> tuple[Line, ...]:
        """Divide into runs of positions that meet the same outputs."""
        runs = groupby(self.taps, key=lambda tap: (tap.begin, tap.end))
        return tuple(replace(self, taps=tuple(run)) for _, run in runs)


@dataclass(frozen=True, slots=True)
class Work:
    """The multiply-accumulates of one chunk of a tile.

    Input blocks, output blocks, frames, a window.
    """

    chunk: Dim
    blocks: Dim
    frames: Dim
    rows: Line
    columns: Line

    @property
    def issue_slots(self) -> int:
        """Cycles on the array: one micro-op each."""
        planes = self.chunk.size * self.blocks.size * self.frames.size
        return planes * self.rows.products * self.columns.products


@dataclass(frozen=True, slots=True, eq=False)
class Nest:
    """One GEMM instruction: its loops, outer first, and its micro-ops.

    ``uops`` is int32 ``[n, 3]``: destination, source, weight, relative to the tile's bases.
    """

    outer: Dim
    inner: Dim
    uops: np.ndarray

    @property
    def issue_slots(self) -> int:
        """Micro-ops that are issued."""
        return self.outer.size * self.inner.size * len(self.uops)


Axis = Literal["chunk", "blocks", "frames", "kernel rows", "rows", "kernel columns", "columns"]

_AXES: tuple[Axis, ...] = ("chunk", "blocks", "kernel rows", "rows", "kernel columns", "columns")
_PLANES: frozenset[Axis] = frozenset(("chunk", "blocks", "frames"))
_ROWS: frozenset[Axis | None] = frozenset(("kernel rows", "rows"))
_COLUMNS: frozenset[Axis | None] = frozenset(("kernel columns", "columns"))

Loops = tuple[Axis | None, Axis | None]
"""The directions that become an instruction's outer and inner loop."""


def copied(work: Work, tile: int) -> list[tuple[Work, int]]:
    """Return work that accumulates into partial sums, and their number, fewest first.

    A tile with few outputs (a dense layer's, say) would meet the same destination again too
    soon. Some of its reductions write copies of the tile instead, ``tile`` elements apart, which
    are added up afterwards. The first has one copy, the last no reduction.
    """
    chunk, (rows, columns) = (
        work.chunk.size,
        (line.taps[-1].position + 1 for line in (work.rows, work.columns)),
    )
    options = sorted(product({1, chunk}, {1, rows}, {1, columns}), key=prod)
    return [
        (
            replace(
                work,
                chunk=replace(work.chunk, dst=tile if chunks > 1 else 0),
                rows=_copied(work.rows, tile * chunks if rows > 1 else 0),
                columns=_copied(work.columns, tile * chunks * rows if columns > 1 else 0),
            ),
            chunks * rows * columns,
        )
        for chunks, rows, columns in options
    ]


def _copied(line: Line, dst: int) -> Line:
    return replace(line, tap=(dst, *line.tap[1:]))


def elementwise(size: int) -> Nest:
    """Every output element from the input element of the same index."""
    return Nest(ONE, Dim(size, 1, 1, 0), ONE_UOP)


def parts(work: Work, loops: Loops) -> list[Work]:
    """Divide work so that all that lies in a loop is regular: each part is an instruction."""
    rows = work.rows.groups() if _ROWS & set(loops) else (work.rows,)
    columns = work.columns.groups() if _COLUMNS & set(loops) else (work.columns,)
    return [replace(work, rows=r, columns=c) for r, c in product(rows, columns)]


def uop_count(work: Work, loops: Loops) -> int:
    """Micro-ops of a part in these loops."""
    looped = 1
    for axis in loops:
        looped *= _loop(work, axis).size
    return work.issue_slots // looped


def nest_of(work: Work, loops: Loops) -> Nest:
    """Return a part's instruction."""
    chunk = _steps(work.chunk, looped="chunk" in loops)
    blocks = _steps(work.blocks, looped="blocks" in loops)
    frames = _steps(work.frames, looped="frames" in loops)
    blocks = (blocks[:, None] + frames[None]).reshape(-1, 3)
    rows = _line_steps(work.rows, "kernel rows" in loops, "rows" in loops)
    columns = _line_steps(work.columns, "kernel columns" in loops, "columns" in loops)
    # What writes copies of the tile is part of a sweep, what adds to the same elements is not.
    if work.rows.tap[0] and not work.columns.tap[0]:
        pairs = [(row, column) for column in columns for row in rows]
    else:
        pairs = list(product(rows, columns))
    if work.chunk.dst:
        blocks = (chunk[:, None] + blocks[None]).reshape(-1, 3)
        chunk = chunk[:1]
    window = [
        (blocks[:, None, None] + row[None, :, None] + column[None, None, :]).reshape(-1, 3)
        for row, column in pairs
    ]
    uops = (chunk[:, None] + np.concatenate(window)[None]).reshape(-1, 3)
    return Nest(_loop(work, loops[0]), _loop(work, loops[1]), uops)


def _loop(work: Work, axis: Axis | None) -> Dim:
    if axis is None:
        return ONE
    if axis in _PLANES:
        dim: Dim = getattr(work, axis)
        return dim
    line = work.rows if axis in _ROWS else work.columns
    if axis.startswith("kernel"):
        return Dim(len(line.taps), *line.tap)
    return Dim(line.taps[0].end - line.taps[0].begin, *line.output)


def _steps(dim: Dim, *, looped: bool) -> np.ndarray:
    return np.outer(np.arange(1 if looped else dim.size), dim.strides)


def _line_steps(line: Line, taps_looped: bool, outputs_looped: bool) -> list[np.ndarray]:
    """Destination, source and weight of the outputs of every position."""
    base = np.array(line.origin)
    found = []
    for tap in line.taps[:1] if taps_looped else line.taps:
        outputs = np.arange(tap.begin, tap.begin + 1 if outputs_looped else tap.end)
        at = base + tap.position * np.array(line.tap)
        found.append(at + np.outer(outputs, line.output))
    return found


def hazard_distance(nest: Nest) -> int | None:
    """Issue slots between two writes of one accumulator element; None when there are none."""
    destinations = nest.uops[:, 0]
    count = len(destinations)
    order = np.argsort(destinations, kind="stable")
    where = destinations[order]
    same = where[1:] == where[:-1]
    nearest = int(np.diff(order)[same].min()) if same.any() else None
    first = np.flatnonzero(np.concatenate(([True], ~same)))
    last = np.concatenate((first[1:] - 1, [count - 1]))
    spread = int((order[last] - order[first]).max())
    # A loop that does not move the destination starts the list, or the inner loop, anew.
    for loop, period in ((nest.inner, count), (nest.outer, count * nest.inner.size)):
        if loop.size > 1 and loop.dst == 0:
            inner_travel = period - count if loop is nest.outer and nest.inner.dst == 0 else 0
            distance = period - inner_travel - spread
            nearest = distance if nearest is None else min(nearest, distance)
    return nearest


def choices(work: Work) -> Iterator[Loops]:
    """Every pair of directions for an instruction's loops."""
    frames: tuple[Axis, ...] = ("frames",) if work.frames.size > 1 else ()
    yield from permutations((*_AXES, *frames, None), 2)
    yield None, None


def nests_in(work: Work, loops: Loops) -> tuple[Nest, ...]:
    """Return the instructions of work in these loops."""
    return tuple(nest_of(part, loops) for part in parts(work, loops))


@dataclass(frozen=True, slots=True)
class Product:
    """Work as instructions, accumulated into so many copies of the tile."""

    nests: tuple[Nest, ...]
    copies: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What decides how work becomes instructions.

    Attributes
    ----------
    distance : issue slots to keep between two writes of one accumulator element.
    uops : micro-ops there may be.
    acc : accumulator elements there may be.
    instruction, uop : cycles that an instruction counts, and loading a micro-op.
    """

    distance: int
    uops: int
    acc: int
    instruction: float
    uop: float


@lru_cache(maxsize=16384)
def product_of(work: Work, tile: int, limits: Limits) -> Product | None:
    """Choose copies and loops: the fewest safe copies, then the least cycles.

    Parameters
    ----------
    tile : accumulator elements of the tile.

    Returns
    -------
    product : None when no choice is safe and small enough.
    """
    if work.issue_slots == 0:
        return Product((), 1)
    for copy, copies in copied(work, tile):
        if copies * tile > limits.acc:
            break
        loops = _best_loops(copy, limits)
        if loops is not None:
            return Product(nests_in(copy, loops), copies)
    return None


def _best_loops(work: Work, limits: Limits) -> Loops | None:
    def cost(loops: Loops) -> tuple[float, int]:
        counts = [uop_count(part, loops) for part in parts(work, loops)]
        return len(counts) * limits.instruction + sum(counts) * limits.uop, sum(counts)

    ranked = sorted((cost(loops), number, loops) for number, loops in enumerate(choices(work)))
    for (_, count), _, loops in ranked:
        if count > limits.uops:
            continue
        found = (hazard_distance(nest) for nest in nests_in(work, loops))
        if all(slots is None or slots >= limits.distance for slots in found):
            return loops
    return None
