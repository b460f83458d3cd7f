"""Tiles of a convolution.

A tile is a box of outputs (blocks x frames x rows x columns) accumulated over chunks of input
blocks; so it lies in the buffers, and so do whole tensors in DRAM.
This file is geometry: which outputs a tile holds, which inputs it reads, and its GEMM as a
nest of dimensions. `search` chooses a tiling, `emit_conv` turns it into instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import gcd

from lcp_tvm.vta.epilogue import Operands, Place
from lcp_tvm.vta.layer import Plane, Weights, Window
from lcp_tvm.vta.nest import ONE, Dim, Line, Tap, Work


@dataclass(frozen=True, slots=True)
class Group:
    """Input and output blocks that meet one another only."""

    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class ConvShape:
    """The sizes that decide a convolution's schedule; planes in elements, not channels.

    ``target`` is what the convolution computes, ``output`` what is left of it by ``pool``;
    ``epilogue`` has the operands of every ALU operation on finished sums.
    ``group`` is what the blocks divide into, the last one may be smaller; all of them where there
    is nothing to divide.
    ``distance`` is the issue slots to keep between two writes of one accumulator element.
    """

    source: Plane
    target: Plane
    window: Window
    pool: Window | None
    output: Plane
    weights: Weights
    group: Group
    bias_blocks: int
    epilogue: tuple[Operands, ...]
    skip: bool
    distance: int

    @property
    def together(self) -> int:
        """Output blocks that a tile can hold: those of one group, or any number of single ones."""
        return self.group.outputs if self.weights is Weights.DENSE else self.output.channels

    @property
    def copied(self) -> bool:
        """Whether the epilogue needs a copy of the tile."""
        return any(Place.COPY in step for step in self.epilogue)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open interval."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


ONE_FRAME = Span(0, 1)


@dataclass(frozen=True, slots=True)
class Box:
    """Outputs of one tile: blocks, rows, columns, frames."""

    blocks: Span
    rows: Span
    columns: Span
    frames: Span = ONE_FRAME

    @property
    def size(self) -> int:
        return self.blocks.size * self.frames.size * self.rows.size * self.columns.size


@dataclass(frozen=True, slots=True)
class Reach:
    """Rows and columns of the input's frames that a tile reads; nothing outside the plane.

    ``strips`` are the runs of rows that are loaded, one, or one a window where windows do not
    touch. In SRAM ``pitch`` rows lie between two windows; ``lead`` rows of the first window
    come before the first that is loaded.
    """

    strips: tuple[Span, ...]
    columns: Span
    frames: Span
    pitch: int
    lead: int

    @property
    def rows(self) -> Span:
        """From the first row that is read to the last."""
        return Span(self.strips[0].begin, self.strips[-1].end)

    @property
    def area(self) -> int:
        """Elements of one channel block of one frame."""
        return sum(strip.size for strip in self.strips) * self.columns.size

    @property
    def size(self) -> int:
        """Elements of one channel block."""
        return self.frames.size * self.area


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tile sizes, the loop order, and how many tiles of each kind stay on chip.

    ``strips``: rows of the input between two windows, which nothing reads, are not loaded.
    """

    blocks: int
    rows: int
    columns: int
    chunk: int
    blocks_outer: bool
    input_slots: int
    weight_slots: int
    acc_slots: int
    skip_slots: int = 0
    frames: int = 1
    strips: bool = False

    def boxes(self, output: Plane, together: int) -> Iterator[Box]:
        """Tiles in execution order, none across a multiple of ``together`` blocks."""
        blocks = [
            part for group in spans(output.channels, together) for part in cut(group, self.blocks)
        ]
        planes = [
            (rows, columns, frames)
            for frames in spans(output.frames, self.frames)
            for rows in spans(output.height, self.rows)
            for columns in spans(output.width, self.columns)
        ]
        if self.blocks_outer:
            yield from (Box(b, *plane) for b in blocks for plane in planes)
        else:
            yield from (Box(b, *plane) for plane in planes for b in blocks)


def spans(total: int, step: int) -> list[Span]:
    """``total`` cut into intervals of ``step``, the last one shorter."""
    return cut(Span(0, total), step)


def cut(span: Span, step: int) -> list[Span]:
    """Return intervals of ``step`` that make up ``span``, the last one shorter."""
    return [Span(i, min(i + step, span.end)) for i in range(span.begin, span.end, step)]


def reach_of(box: Box, source: Plane, window: Window, strips: bool = False) -> Reach:
    """Return what a tile of outputs reads; in ``strips`` without rows between windows."""
    top, left = window.padding[:2]
    (sh, sw), (eh, ew) = window.stride, window.extent
    columns = _reach(box.columns, sw, ew, left, window.spread[1], source.width)
    if strips and sh > eh:
        inputs = (o * sh - top for o in range(box.rows.begin, box.rows.end))
        read = [Span(max(y, 0), min(y + eh, source.height)) for y in inputs]
        inside = [number for number, strip in enumerate(read) if strip.size > 0]
        if inside:
            first = inside[0]
            lead = first * eh + read[first].begin - ((box.rows.begin + first) * sh - top)
            return Reach(tuple(read[i] for i in inside), columns, box.frames, eh, lead)
    rows = _reach(box.rows, sh, eh, top, window.spread[0], source.height)
    return Reach((rows,), columns, box.frames, sh, rows.begin - (box.rows.begin * sh - top))


def _reach(out: Span, stride: int, extent: int, pad: int, spread: int, size: int) -> Span:
    """Rows or columns inside the plane; all of them where a stride skips the others.

    Whole rows, and whole planes, lie side by side in DRAM.
    """
    begin = min(max(-((pad - out.begin * stride) // spread), 0), size)
    last = ((out.end - 1) * stride - pad + extent - 1) // spread
    end = max(min(last + 1, size), begin)
    if begin < end and begin < stride and size - end < stride:
        return Span(0, size)
    return Span(begin, end)


def reach_limit(window: Window, source: Plane, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns that a tile of so many reads at most, `Reach.rows` and `Reach.columns`."""
    (sh, sw), (eh, ew) = window.stride, window.extent
    height = ((rows - 1) * sh + eh - 1) // window.spread[0] + 1
    width = ((columns - 1) * sw + ew - 1) // window.spread[1] + 1
    return (
        source.height if height + sh > source.height else height,
        source.width if width + sw > source.width else width,
    )


def computed(shape: ConvShape, box: Box) -> Box:
    """Return what the convolution computes for a tile of outputs."""
    if shape.pool is None:
        return box
    reach = reach_of(box, shape.target, shape.pool)
    return Box(box.blocks, reach.rows, reach.columns, reach.frames)


def chunks(shape: ConvShape, tiling: Tiling, box: Box) -> list[Span]:
    """Input blocks that a tile of outputs meets, in chunks: all of them, or blocks of its own."""
    if shape.weights is not Weights.DENSE:
        return cut(box.blocks, tiling.chunk)
    begin = box.blocks.begin // shape.group.outputs * shape.group.inputs
    group = Span(begin, min(begin + shape.group.inputs, shape.source.channels))
    return cut(group, tiling.chunk)


def works_of(shape: ConvShape, box: Box, chunk: Span, strips: bool = False) -> tuple[Work, ...]:
    """Return the multiply-accumulates of one chunk of a tile.

    Over a spread plane an output meets only some kernel positions, the same ones as every
    ``spread``-th output beside it: those make up an ordinary convolution, one work a phase.
    """
    source, window = shape.source, shape.window
    reach = reach_of(box, source, window, strips)
    work = window_work(source, window, box, reach, chunk, shape.weights)
    if window.spread == (1, 1):
        return (work,)
    rows = _phases(work.rows, box.rows, reach.rows, window, 0, source.height)
    columns = _phases(work.columns, box.columns, reach.columns, window, 1, source.width)
    return tuple(replace(work, rows=r, columns=c) for r, c in product(rows, columns))


def _phases(
    line: Line, out: Span, reached: Span, window: Window, axis: int, size: int
) -> Iterator[Line]:
    """Return the direction of a spread plane's phases, from one with this direction's strides."""
    spread, dilation = window.spread[axis], window.dilation[axis]
    every = spread // gcd(dilation, spread)  # kernel positions of a phase lie so far apart
    for first in range(out.begin, min(out.begin + spread, out.end)):
        at = first - window.padding[axis]  # in the spread plane, of the first output
        met = (k for k in range(every) if (at + k * dilation) % spread == 0)
        lowest = next(met, window.kernel[axis])
        phase = Span(0, -(-(out.end - first) // spread))
        begin, step = (at + lowest * dilation) // spread, every * dilation // spread
        count = -(-(window.kernel[axis] - lowest) // every)
        taps = _taps(phase, count, 1, step, -begin, size)
        if taps:
            (dst, src, _), kernel = line.output, line.tap[2]
            yield Line(
                taps,
                (0, step * src, every * kernel),
                (spread * dst, src, 0),
                ((first - out.begin) * dst, (begin - reached.begin) * src, lowest * kernel),
            )


def window_work(
    source: Plane, window: Window, box: Box, reach: Reach, chunk: Span, weights: Weights
) -> Work:
    """Return what a window sliding over a tile's outputs meets in what it reaches.

    Source elements count from the chunk's first block in SRAM, weights from the chunk's kernels
    (output block, input block, row, column), destinations from the tile or, where the chunk's
    blocks meet but themselves, from the first of them in it.
    """
    (kh, kw), (top, left) = window.kernel, window.padding[:2]
    width = reach.columns.size
    step, taps = 0 if weights is Weights.UNIFORM else 1, kh * kw
    rows = Line(
        _taps(box.rows, kh, window.stride[0], window.dilation[0], top, source.height),
        (0, window.dilation[0] * width, kw * step),
        (box.columns.size, reach.pitch * width, 0),
        (0, -reach.lead * width, 0),
    )
    columns = Line(
        _taps(box.columns, kw, window.stride[1], window.dilation[1], left, source.width),
        (0, window.dilation[1], step),
        (1, window.stride[1], 0),
        (0, box.columns.begin * window.stride[1] - left - reach.columns.begin, 0),
    )
    plane = box.rows.size * box.columns.size
    frames = box.frames.size
    if weights is Weights.UNIFORM:  # blocks and frames alike are planes side by side
        planes = Dim(chunk.size * frames, plane, reach.area, 0)
        return Work(ONE, planes, ONE, rows, columns)
    each = Dim(frames, plane, reach.area, 0)
    if weights is Weights.BLOCKWISE:
        blocks = Dim(chunk.size, frames * plane, reach.size, taps)
        return Work(ONE, blocks, each, rows, columns)
    return Work(
        Dim(chunk.size, 0, reach.size, taps),
        Dim(box.blocks.size, frames * plane, 0, chunk.size * taps),
        each,
        rows,
        columns,
    )


def _taps(
    out: Span, kernel: int, stride: int, dilation: int, pad: int, size: int
) -> tuple[Tap, ...]:
    """Return kernel positions and the outputs, from the tile's first, that they meet."""
    taps = []
    for position in range(kernel):
        shift = position * dilation - pad  # input of output 0
        begin = max(-(shift // stride), out.begin)
        end = min(-((shift - size) // stride), out.end)
        if begin < end:
            taps.append(Tap(position, begin - out.begin, end - out.begin))
    return tuple(taps)
