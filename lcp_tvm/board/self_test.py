"""The program that tells whether a board's accelerator works: every unit of it, in half a ms."""

from __future__ import annotations

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.container import pack_programs
from lcp_tvm.vta.layer import Conv, Graph, Node, Plane, Pool, Requantise, Weights, Window
from lcp_tvm.vta.program import build_program

_CHANNELS, _SIZE = 64, 28


def self_test(config: VtaConfig) -> bytes:
    """Make a ``.vta`` file: two convolutions, a pool and a residual addition, all weights random.

    The board runs it beside the simulator (`native/driver/self_test.cc`).
    """
    rng = np.random.default_rng(0)
    whole, half = (Plane(_CHANNELS, size, size) for size in (_SIZE, _SIZE // 2))
    graph = Graph(
        symbol="self_test",
        shapes={
            "x": (1, _CHANNELS, _SIZE, _SIZE),
            "pooled": (1, _CHANNELS, _SIZE // 2, _SIZE // 2),
            "y": (1, _CHANNELS, _SIZE // 2, _SIZE // 2),
        },
        inputs=("x",),
        outputs=("y",),
        nodes=(
            Node(_conv("pooled", rng, whole, Pool(Window((2, 2), (2, 2)), half)), ("x",), "pooled"),
            Node(_conv("y", rng, half, None, skip=True), ("pooled", "pooled"), "y"),
        ),
    )
    program = build_program(graph, config)
    return pack_programs(config.to_json(), [program.header], [program.image])


def _conv(
    name: str, rng: np.random.Generator, plane: Plane, pool: Pool | None, *, skip: bool = False
) -> Conv:
    weight = rng.integers(-128, 128, (_CHANNELS, _CHANNELS, 3, 3), dtype=np.int8)
    return Conv(
        name=name,
        kind="conv2d",
        source=plane,
        target=plane,
        window=Window((3, 3), padding=(1, 1, 1, 1)),
        weights=Weights.DENSE,
        weight=weight,
        bias=rng.integers(-(1 << 16), 1 << 16, _CHANNELS, dtype=np.int32),
        requantise=Requantise(shift=10, low=-128, high=127),
        skip_shift=6 if skip else None,
        macs=int(weight.size) * plane.height * plane.width,
        pool=pool,
    )
