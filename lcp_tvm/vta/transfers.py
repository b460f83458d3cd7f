"""Runs of elements between DRAM and SRAM: planes lie block by block, frame by frame in both."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    return _transfers(source, Box(chunk, reach.rows, reach.columns, reach.frames))


def output_transfers(target: Plane, box: Box) -> list[Transfer]:
    """Transfers of a tile of outputs."""
    return _transfers(target, box)


def _transfers(plane: Plane, box: Box) -> list[Transfer]:
    """Runs as long as they can be; the first that lie equally far apart are one transfer."""
    area = plane.height * plane.width
    stride = plane.frames * area
    begin = box.blocks.begin * stride + box.frames.begin * area
    begin += box.rows.begin * plane.width + box.columns.begin
    if box.size == 0:
        return []
    size, apart = box.columns.size, list[tuple[int, int]]()
    for count, step in (
        (box.rows.size, plane.width),
        (box.frames.size, area),
        (box.blocks.size, stride),
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
