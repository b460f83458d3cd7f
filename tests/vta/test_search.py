"""The analytic cost follows the simulator, so that the search picks what runs fast."""

from __future__ import annotations

import numpy as np
import pytest

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.layer import Conv
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.read_graph import read_graph
from lcp_tvm.vta.search import best_tiling, cycles, tile_sizes
from lcp_tvm.vta.timing import Timing
from tests.vta import builders

PYNQ = load_config("pynq_z1")


@pytest.mark.parametrize(
    ("channels", "outputs", "size", "kernel", "stride"),
    [(64, 64, 56, 3, 1), (128, 128, 28, 3, 1), (128, 256, 28, 1, 2), (512, 512, 7, 3, 1)],
)
def test_estimate_is_close_to_simulated_cycles(
    channels: int, outputs: int, size: int, kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    pad = kernel // 2
    module = builders.conv(
        rng,
        (channels, size, size),
        outputs,
        (kernel, kernel),
        stride=(stride, stride),
        padding=(pad,) * 4,
    )
    partition = partition_vta(module, PYNQ)
    (function,) = (f for v, f in partition.module.functions.items() if v.name_hint != "main")
    graph = read_graph(function, "vta_0")
    layer = graph.nodes[0].layer
    assert isinstance(layer, Conv)
    shape = conv_shape(layer, PYNQ)
    tiling = best_tiling(shape, PYNQ)
    assert tiling is not None
    sizes = tile_sizes(shape, tiling.blocks, tiling.rows, tiling.columns, tiling.chunk)
    assert sizes is not None
    estimate = cycles(shape, tiling, sizes, Timing.of(PYNQ), PYNQ)
    inputs = builders.random_inputs(rng, module)
    _, stats = builders.run_program(build_program(graph, PYNQ), {"x": inputs[0]}, PYNQ)
    assert estimate == pytest.approx(stats.cycles, rel=0.2)
