"""The analytic cycles follow the simulator, so that the search picks what runs fast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.conv_cycles import cost_of
from lcp_tvm.vta.conv_schedule import slot_sizes
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.layer import Conv, Slope
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.read_graph import read_graph
from lcp_tvm.vta.search import best_tiling
from tests.vta import builders
from tests.vta.configs import ROWS

PYNQ = load_config("pynq_z1")


def ratio(module: tvm.IRModule, rng: np.random.Generator, config: VtaConfig = PYNQ) -> float:
    """Modelled over simulated cycles of a module of one convolution."""
    partition = partition_vta(module, config)
    (function,) = (f for v, f in partition.module.functions.items() if v.name_hint != "main")
    graph = read_graph(function, "vta_0")
    layer = graph.nodes[0].layer
    assert isinstance(layer, Conv)
    shape = conv_shape(layer, config)
    tiling = best_tiling(shape, config)
    assert tiling is not None
    cost = cost_of(shape, tiling, slot_sizes(shape, tiling, config), config)
    names = [str(param.name) for param in module["main"].params]
    inputs = dict(zip(names, builders.random_inputs(rng, module), strict=True))
    _, stats = builders.run_program(build_program(graph, config), inputs, config)
    return cost.cycles / stats.cycles


@pytest.mark.parametrize("skip_shift", [None, 3])
@pytest.mark.parametrize(
    ("channels", "outputs", "size", "kernel", "stride"),
    [
        (64, 64, 56, 3, 1),
        (64, 128, 56, 3, 2),
        (128, 128, 28, 3, 1),
        (128, 256, 28, 1, 2),
        (256, 256, 14, 3, 1),
        (512, 512, 7, 3, 1),
        (64, 256, 56, 1, 1),
        (48, 64, 112, 5, 1),
    ],
)
def test_estimate_is_within_three_per_cent(
    channels: int, outputs: int, size: int, kernel: int, stride: int, skip_shift: int | None
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
        skip_shift=skip_shift,
    )
    assert ratio(module, rng) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("channels", "groups", "size", "kernel", "stride"),
    [
        (32, 32, 112, 3, 1),
        (96, 96, 112, 3, 2),
        (240, 240, 28, 5, 1),
        (672, 672, 14, 5, 2),
        (1024, 1024, 7, 3, 1),
        (256, 32, 28, 3, 1),
        (240, 3, 28, 1, 1),
        (96, 8, 28, 3, 1),
    ],
)
def test_estimate_of_groups_is_within_three_per_cent(
    channels: int, groups: int, size: int, kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    module = builders.conv(
        rng,
        (channels, size, size),
        channels,
        (kernel, kernel),
        stride=(stride, stride),
        padding=(kernel // 2,) * 4,
        groups=groups,
    )
    assert ratio(module, rng) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("pool", [None, builders.pooling((2, 2), (2, 2))], ids=["", "pool"])
@pytest.mark.parametrize(
    ("channels", "outputs", "size", "kernel"), [(64, 128, 52, 3), (256, 128, 26, 1)]
)
def test_estimate_knows_what_leaky_relu_takes(
    channels: int,
    outputs: int,
    size: int,
    kernel: int,
    pool: Callable[[relax.Expr], relax.Expr] | None,
) -> None:
    rng = np.random.default_rng(0)
    module = builders.conv(
        rng,
        (channels, size, size),
        outputs,
        (kernel, kernel),
        padding=(kernel // 2,) * 4,
        slope=Slope(3, 5, 16),
        pool=pool,
    )
    assert ratio(module, rng) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("config", [PYNQ, ROWS], ids=lambda config: config.name)
@pytest.mark.parametrize(
    ("channels", "outputs", "size", "kernel"),
    [(64, 64, 28, 3), (256, 256, 14, 3), (512, 512, 7, 3), (512, 1000, 1, 1)],
)
def test_estimate_of_five_frames_is_within_three_per_cent(
    channels: int, outputs: int, size: int, kernel: int, config: VtaConfig
) -> None:
    rng = np.random.default_rng(0)
    source, padding = (channels, size, size), (kernel // 2,) * 4
    module = builders.conv(rng, source, outputs, (kernel, kernel), padding=padding, frames=5)
    assert ratio(module, rng, config) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("channels", "outputs", "size", "kernel", "stride"),
    [(256, 128, 14, 4, 2), (128, 64, 28, 2, 2), (64, 32, 28, 5, 3)],
)
def test_estimate_of_transposed_convolutions_is_within_three_per_cent(
    channels: int, outputs: int, size: int, kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    module = builders.conv_transpose(
        rng, (channels, size, size), outputs, (kernel, kernel), stride=(stride, stride)
    )
    assert ratio(module, rng) == pytest.approx(1.0, abs=0.03)
