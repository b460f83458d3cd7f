"""Products of four inputs at a time: they are read as one vector and multiplied by its lanes.

NEON multiplies by a lane of a register, and SSE has no load into all lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.kernels.vmla import vmla_by_lane

LANES = 4


def add_by_lane(
    sums: Any, inputs: Sequence[Any], weight: Callable[[int, int], Any], blocks: int, vmla: bool
) -> None:
    """Add the products of four inputs of some pixels to the sums of a register tile.

    Parameters
    ----------
    sums : [blocks, pixels, LANES], flat.
    inputs : a vector for each pixel.
    weight : gives the vector of an input, counted from 0, and a block.
    vmla : whether to add by that instruction of ARMv7.
    """
    vectors = [T.bind(one) for one in inputs]
    for inner, block in product(range(LANES), range(blocks)):
        weights = T.bind(weight(inner, block))
        for pixel, vector in enumerate(vectors):
            at = tirx.Ramp((block * len(vectors) + pixel) * LANES, 1, LANES)
            if vmla:
                total = vmla_by_lane(sums[at], weights, vector, inner)
            else:
                value = tirx.Broadcast(tirx.Shuffle([vector], [inner]), LANES)
                total = sums[at] + value * weights
            T.buffer_store(sums, total, [at])
