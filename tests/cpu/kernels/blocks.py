"""Maps in blocks as numpy arrays, written from the layout's definition alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.cpu.blocked import Blocked

JUNK = 1e30
"""What lanes after the last channel hold: a kernel that reads them as values shows it."""

Floats = NDArray[np.float32]


def to_blocks(values: Floats, layout: Blocked) -> Floats:
    """Return an NCHW map as it lies in memory."""
    halo, lanes = layout.halo, layout.lanes
    lying = np.zeros(layout.shape, np.float32)
    inside = lying[:, :, halo.top : halo.top + layout.height, halo.left : halo.left + layout.width]
    inside[:] = JUNK
    for channel in range(layout.channels):
        inside[:, channel // lanes, :, :, channel % lanes] = values[:, channel]
    return lying


def from_blocks(lying: Floats, layout: Blocked) -> Floats:
    """Return the NCHW map, having seen that its halo is zero and all else finite."""
    halo, lanes = layout.halo, layout.lanes
    assert np.isfinite(lying).all()
    around = lying.copy()
    rows = slice(halo.top, halo.top + layout.height)
    columns = slice(halo.left, halo.left + layout.width)
    around[:, :, rows, columns] = 0
    assert not around.any()
    channels = range(layout.channels)
    maps = [lying[:, one // lanes, rows, columns, one % lanes] for one in channels]
    return np.stack(maps, axis=1)
