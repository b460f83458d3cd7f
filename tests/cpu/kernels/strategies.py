"""Descriptions of kernels, drawn by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.pool import Pool
from lcp_tvm.cpu.kernels.winograd import POINTS, Winograd

halos = st.builds(Halo, *[st.integers(0, 2)] * 4)
pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))
sizes = st.tuples(st.integers(1, 13), st.integers(1, 13))
seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 2)

PLAIN = (Step("bias"), Step("scale"), Step("relu"), Step("clip", (-40.0, 30.0)),
         Step("leaky_relu", (0.25,)))  # fmt: skip
steps = st.lists(st.sampled_from((*PLAIN, Step("add"))), max_size=4).map(tuple)


def channels(lanes: int) -> SearchStrategy[int]:
    """Few, a vector, and beyond one and two."""
    return st.integers(1, 2 * lanes + 3)


@st.composite
def layouts(draw: Any, lanes: int) -> Blocked:
    """Return the layout of any map."""
    return Blocked(draw(batches), draw(channels(lanes)), *draw(sizes), lanes, draw(halos))


@st.composite
def maps_like(draw: Any, out: Blocked, drawn: tuple[Step, ...]) -> tuple[Blocked, ...]:
    """Return the layouts of the maps that steps add."""
    count = sum(step.kind == "add" for step in drawn)
    return tuple(
        Blocked(out.batch, out.channels, out.height, out.width, out.lanes, draw(halos))
        for _ in range(count)
    )


@st.composite
def convs(draw: Any, lanes: int) -> tuple[Conv, Tile]:
    """Return a convolution and any tile that its blocks allow."""
    kind = draw(st.sampled_from(("full", "picture", "grouped", "depthwise")))
    groups, inside = 1, lanes
    if kind == "grouped":
        groups = draw(st.integers(2, 3))
        inputs, outputs = (groups * lanes * draw(st.integers(1, 2)) for _ in range(2))
    elif kind == "depthwise":
        groups = inputs = outputs = draw(st.integers(2, 2 * lanes + 3))
    else:
        inputs, outputs = draw(channels(lanes)), draw(channels(lanes))
        if kind == "picture":
            inputs, inside = draw(st.integers(1, 4)), 1
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides, dilation, padding = draw(pairs), draw(pairs), draw(halos)
    out_size, surplus = draw(sizes), draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    reach = [
        (out_size[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        for axis in range(2)
    ]
    # What windows reach that is no padding is the map; strides may leave some of it unread.
    height = max(1, reach[0] - padding.top - padding.bottom) + surplus[0]
    width = max(1, reach[1] - padding.left - padding.right) + surplus[1]
    needed = Halo(
        padding.top,
        padding.left,
        max(0, reach[0] - padding.top - height),
        max(0, reach[1] - padding.left - width),
    )
    batch = draw(batches)
    data = Blocked(batch, inputs, height, width, inside, needed | draw(halos))
    out = Blocked(batch, outputs, *out_size, lanes, draw(halos))
    drawn = draw(steps)
    conv = Conv(
        data,
        out,
        kernel,
        strides,
        (padding.top, padding.left),
        dilation,
        groups,
        drawn,
        draw(maps_like(out, drawn)),
        draw(st.booleans()),
    )
    per_group = 1 if conv.depthwise else out.blocks // groups
    blocks = draw(st.sampled_from([one for one in (1, 2, 3) if per_group % one == 0]))
    return conv, Tile(draw(st.integers(1, out.width)), blocks)


@st.composite
def winograds(draw: Any, lanes: int) -> tuple[Conv, Winograd]:
    """Return a convolution of 3x3 and any plan that its blocks allow."""
    out = Blocked(draw(batches), draw(channels(lanes)), *draw(sizes), lanes, draw(halos))
    # What windows reach that is no padding is the map.
    padding = Halo(*(draw(st.integers(0, 1)) for _ in range(4)))
    height = out.height + 2 - padding.top - padding.bottom
    width = out.width + 2 - padding.left - padding.right
    if min(height, width) < 1:
        padding, height, width = Halo(), out.height + 2, out.width + 2
    data = Blocked(out.batch, draw(channels(lanes)), height, width, lanes, padding | draw(halos))
    drawn = draw(steps)
    conv = Conv(
        data, out, (3, 3), (1, 1), (padding.top, padding.left), (1, 1), 1, drawn,
        draw(maps_like(out, drawn)), draw(st.booleans()),
    )  # fmt: skip
    blocks = draw(st.sampled_from([one for one in (1, 2) if out.blocks % one == 0]))
    tile = Tile(draw(st.integers(1, 5)), blocks)
    return conv, Winograd(draw(st.sampled_from(list(POINTS))), tile, tile.columns * draw(pairs)[0])


@st.composite
def pools(draw: Any, lanes: int) -> Pool:
    """Return a pool; windows may end beyond the padding, as those that are rounded up do."""
    data = draw(layouts(lanes))
    window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, size - 1)) for size in window)
    # As many windows as begin inside of the map or its padding before it.
    most = [
        (size + before - 1) // stride + 1
        for size, before, stride in zip((data.height, data.width), padding, strides, strict=True)
    ]
    size = [draw(st.integers(1, one)) for one in most]
    out = Blocked(data.batch, data.channels, *size, lanes, draw(halos))
    kind = draw(st.sampled_from(("max", "average")))
    counted = Halo()
    if kind == "average" and draw(st.booleans()):
        counted = Halo(*padding, *draw(st.tuples(st.integers(0, 2), st.integers(0, 2))))
    return Pool(data, out, kind, window, strides, padding, counted)


@st.composite
def denses(draw: Any, lanes: int) -> Dense:
    """Return a dense layer."""
    drawn = draw(st.lists(st.sampled_from(PLAIN), max_size=3))
    outputs, vectors = draw(st.integers(1, 5 * lanes + 1)), draw(st.integers(1, 8))
    return Dense(draw(batches), draw(st.integers(1, 40)), outputs, lanes, vectors, tuple(drawn))
