"""The maximum over a window inside the accumulators, as ALU instructions.

Columns first where they can be taken in place, then rows: 3x3 takes 2 operations an input row
and 3 an output instead of 9. The first operation on a fresh (zero) output is ADD, which copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from lcp_tvm.vta.isa import AluOp
from lcp_tvm.vta.nest import Dim, Line, Nest, Tap, Work, nest_of
from lcp_tvm.vta.tiling import Reach


@dataclass(frozen=True, slots=True, eq=False)
class PoolStep:
    """One ALU instruction: its nest's sources are inputs, its destinations are outputs.

    ``in_place``: the destinations are inputs too.
    """

    op: AluOp
    nest: Nest
    in_place: bool


@lru_cache(maxsize=4096)
def pool_steps(work: Work, reach: Reach) -> tuple[PoolStep, ...] | None:
    """Return what takes the maximum of a tile into outputs that are zero.

    Parameters
    ----------
    work : the window over a tile of outputs, planes side by side.
    reach : rows and columns of the inputs.

    Returns
    -------
    steps : None where no position of the window is inside the plane for all outputs.
    """
    row = _whole(work.rows)
    separable = _separable(work.columns)
    column = separable or _whole(work.columns)
    if row is None or column is None:
        return None
    steps = []
    columns = work.columns.taps
    if separable is not None:
        steps += [_in_place(work, reach, separable, tap) for tap in columns if tap != separable]
        columns = (separable,)
    rest = [pair for pair in product(work.rows.taps, columns) if pair != (row, column)]
    for op, (row_tap, column_tap) in zip(
        (AluOp.ADD, *[AluOp.MAX] * len(rest)), ((row, column), *rest), strict=True
    ):
        part = replace(
            work,
            rows=replace(work.rows, taps=(row_tap,)),
            columns=replace(work.columns, taps=(column_tap,)),
        )
        steps.append(PoolStep(op, nest_of(part, ("rows", "columns")), in_place=False))
    return tuple(steps)


def _outputs(line: Line) -> int:
    return max(tap.end for tap in line.taps)


def _all(line: Line) -> Sequence[Tap]:
    """Positions that every output meets."""
    return [tap for tap in line.taps if (tap.begin, tap.end) == (0, _outputs(line))]


def _whole(line: Line) -> Tap | None:
    return next(iter(_all(line)), None)


def _separable(line: Line) -> Tap | None:
    """A position that can take the maximum in place: no other reads where it writes."""
    (_, tap_stride, _), (_, stride, _) = line.tap, line.output
    for tap in _all(line):
        shifts = [(other.position - tap.position) * tap_stride for other in line.taps]
        if all(shift == 0 or shift % stride for shift in shifts):
            return tap
    return None


def _in_place(work: Work, reach: Reach, kept: Tap, other: Tap) -> PoolStep:
    """Take the maximum of two positions, in all rows of the inputs, where the kept one lies."""
    line = work.columns
    stride = line.output[1]
    at = np.arange(work.blocks.size) * reach.area + line.origin[1] + other.begin * stride
    kept_at, other_at = (at + tap.position * line.tap[1] for tap in (kept, other))
    uops = np.stack([kept_at, other_at, np.zeros_like(at)], axis=1)
    width = reach.columns.size
    nest = Nest(
        Dim(reach.rows.size, width, width, 0),
        Dim(other.end - other.begin, stride, stride, 0),
        uops,
    )
    return PoolStep(AluOp.MAX, nest, in_place=True)
