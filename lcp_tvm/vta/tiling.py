"""Tiles of a convolution.

A tile is a box of outputs (blocks x rows x columns) accumulated over chunks of input blocks.
This file is geometry: which outputs a tile holds, which inputs it reads, and its GEMM as a
nest of dimensions. `search` chooses a tiling, `emit_conv` turns it into instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lcp_tvm.vta.layer import Plane, Weights, Window
from lcp_tvm.vta.nest import Dim


@dataclass(frozen=True, slots=True)
class ConvShape:
    """The sizes that decide a convolution's schedule; planes in blocks, not channels.

    ``distance`` is the issue slots to keep between two writes of one accumulator element.
    """

    source: Plane
    target: Plane
    window: Window
    weights: Weights
    bias_blocks: int
    alu_ops: int
    skip: bool
    distance: int


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open interval."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Box:
    """Outputs of one tile: blocks, rows, columns."""

    blocks: Span
    rows: Span
    columns: Span

    @property
    def size(self) -> int:
        return self.blocks.size * self.rows.size * self.columns.size


@dataclass(frozen=True, slots=True)
class InputBox:
    """What a tile reads: real rows and columns, and the zeros around them."""

    rows: Span
    columns: Span
    padding: tuple[int, int, int, int]

    @property
    def height(self) -> int:
        return self.rows.size + self.padding[0] + self.padding[2]

    @property
    def width(self) -> int:
        return self.columns.size + self.padding[1] + self.padding[3]

    @property
    def size(self) -> int:
        """Elements of one channel block in SRAM."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tile sizes, the loop order, and how many tiles of each kind stay on chip."""

    blocks: int
    rows: int
    columns: int
    chunk: int
    blocks_outer: bool
    input_slots: int
    weight_slots: int
    acc_slots: int

    def boxes(self, target: Plane) -> Iterator[Box]:
        """Tiles in execution order."""
        blocks = spans(target.channels, self.blocks)
        planes = [
            (rows, columns)
            for rows in spans(target.height, self.rows)
            for columns in spans(target.width, self.columns)
        ]
        if self.blocks_outer:
            yield from (Box(b, r, c) for b in blocks for r, c in planes)
        else:
            yield from (Box(b, r, c) for r, c in planes for b in blocks)


def spans(total: int, step: int) -> list[Span]:
    """``total`` cut into intervals of ``step``, the last one shorter."""
    return [Span(i, min(i + step, total)) for i in range(0, total, step)]


def input_box(box: Box, source: Plane, window: Window) -> InputBox:
    """Input rows and columns of a tile of outputs, clipped to the plane."""
    top, left = window.padding[:2]
    (sh, sw), (eh, ew) = window.stride, window.extent
    rows, pad_top, pad_bottom = _reach(box.rows, sh, eh, top, source.height)
    columns, pad_left, pad_right = _reach(box.columns, sw, ew, left, source.width)
    return InputBox(rows, columns, (pad_top, pad_left, pad_bottom, pad_right))


def _reach(out: Span, stride: int, extent: int, pad: int, size: int) -> tuple[Span, int, int]:
    begin = out.begin * stride - pad
    end = (out.end - 1) * stride - pad + extent
    return Span(max(begin, 0), min(end, size)), max(-begin, 0), max(end - size, 0)


def chunks(shape: ConvShape, tiling: Tiling, box: Box) -> list[Span]:
    """Input blocks that a tile of outputs is accumulated over, in chunks."""
    if shape.weights is Weights.UNIFORM:
        return [box.blocks]
    return spans(shape.source.channels, tiling.chunk)


def gemm_dims(
    shape: ConvShape, blocks: int, rows: int, columns: int, chunk: int, plane: int, width: int
) -> tuple[Dim, ...]:
    """The multiply-accumulates of one chunk of a tile.

    Parameters
    ----------
    blocks, rows, columns : outputs of the tile.
    chunk : input blocks.
    plane, width : elements of one input block and of one of its rows in SRAM.
    """
    kh, kw = shape.window.kernel
    sh, sw = shape.window.stride
    dh, dw = shape.window.dilation
    dense = shape.weights is Weights.DENSE
    taps = kh * kw
    place = (
        Dim(rows, columns, sh * width, 0),
        Dim(columns, 1, sw, 0),
    )
    if not dense:
        kernel = (Dim(kh, 0, dh * width, 0), Dim(kw, 0, dw, 0))
        return (*kernel, Dim(blocks, rows * columns, plane, 0), *place)
    kernel = (Dim(kh, 0, dh * width, kw), Dim(kw, 0, dw, 1))
    return (
        Dim(chunk, 0, plane, taps),
        *kernel,
        Dim(blocks, rows * columns, 0, chunk * taps),
        *place,
    )
