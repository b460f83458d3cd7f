"""Runs of elements between DRAM, where planes lie block by block, and SRAM, where tiles do."""

from __future__ import annotations

from dataclasses import dataclass

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
    return _transfers(source, chunk, reach.rows, reach.columns)


def output_transfers(target: Plane, box: Box) -> list[Transfer]:
    """Transfers of a tile of outputs."""
    return _transfers(target, box.blocks, box.rows, box.columns)


def _transfers(plane: Plane, blocks: Span, rows: Span, columns: Span) -> list[Transfer]:
    area = plane.height * plane.width
    begin = blocks.begin * area + rows.begin * plane.width + columns.begin
    size = rows.size * columns.size
    if size == 0:
        return []
    if columns.size == plane.width and size <= MAX_RUN:
        if size == area and blocks.size * area <= MAX_RUN:
            return [Transfer(0, begin, 1, blocks.size * area, blocks.size * area)]
        if area <= MAX_RUN:
            return [Transfer(0, begin, blocks.size, size, area)]
    return [
        Transfer(block * size, begin + block * area, rows.size, columns.size, plane.width)
        for block in range(blocks.size)
    ]
