"""Runs of elements between DRAM and SRAM: planes lie block by block, frame by frame in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product

from lcp_tvm.vta.layer import Plane
from lcp_tvm.vta.tiling import Box, Reach, Span

MAX_RUN = 0xFFFF
"""Elements that x_size and x_stride can hold."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Runs between SRAM and DRAM; ``sram`` and ``dram`` are offsets in elements."""

    sram: int
    dram: int
    rows: int
    size: int
    stride: int


def input_transfers(source: Plane, chunk: Span, reach: Reach) -> list[Transfer]:
    """Transfers that bring what a tile reaches of some blocks into SRAM, block by block."""
    alike = [list(run) for _, run in groupby(reach.strips, key=lambda strip: strip.size)]
    if len(alike) == 1:
        return _transfers(source, chunk, reach.frames, alike[0], reach.columns)
    found, at = [], 0
    for block, frame, strips in product(_single(chunk), _single(reach.frames), alike):
        runs = _transfers(source, block, frame, strips, reach.columns)
        found += [replace(run, sram=run.sram + at) for run in runs]
        at += sum(strip.size for strip in strips) * reach.columns.size
    return found


def _single(span: Span) -> Iterable[Span]:
    return (Span(at, at + 1) for at in range(span.begin, span.end))


def output_transfers(target: Plane, box: Box) -> list[Transfer]:
    """Transfers of a tile of outputs."""
    return _transfers(target, box.blocks, box.frames, [box.rows], box.columns)


def _transfers(
    plane: Plane, blocks: Span, frames: Span, strips: Sequence[Span], columns: Span
) -> list[Transfer]:
    """Runs as long as they can be; the first that lie equally far apart are one transfer.

    ``strips`` are rows, as many in each, equally far apart.
    """
    area = plane.height * plane.width
    stride = plane.frames * area
    begin = blocks.begin * stride + frames.begin * area
    begin += strips[0].begin * plane.width + columns.begin
    if columns.size * strips[0].size == 0:
        return []
    size, apart = columns.size, list[tuple[int, int]]()
    for count, step in (
        (strips[0].size, plane.width),
        (len(strips), (strips[1].begin - strips[0].begin) * plane.width if len(strips) > 1 else 0),
        (frames.size, area),
        (blocks.size, stride),
    ):
        if count == 1 or (step == size and not apart and size * count <= MAX_RUN):
            size *= count
        else:
            apart.append((count, step))
    rows = (1, size)
    if apart and apart[0][1] <= MAX_RUN:
        rows = apart.pop(0)
    found = [Transfer(0, begin, rows[0], size, rows[1])]
    for count, step in apart:
        length = len(found) * rows[0] * size
        found = [
            replace(run, sram=run.sram + i * length, dram=run.dram + i * step)
            for i in range(count)
            for run in found
        ]
    return found
