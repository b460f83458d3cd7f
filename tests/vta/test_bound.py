"""The least a layer can take: useful products, seven cycles an output, every byte once."""

from __future__ import annotations

import numpy as np
import pytest

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.bound import bound_of, busiest, roof_of
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.layer import Layer
from lcp_tvm.vta.read_graph import read_graph
from tests.vta import builders

PYNQ = load_config("pynq_z1")
RNG = np.random.default_rng(0)


def _layer(module: object) -> Layer:
    partition = partition_vta(module, PYNQ)
    (function,) = (f for v, f in partition.module.functions.items() if v.name_hint != "main")
    return read_graph(function, "vta_0").nodes[0].layer


def test_a_convolution_of_resnet() -> None:
    """512 channels on 7x7: 451,584 products, 1,568 outputs; its weights are what takes longest."""
    layer = _layer(builders.conv(RNG, (512, 7, 7), 512, (3, 3), padding=(1, 1, 1, 1)))
    bound = bound_of(layer, PYNQ)
    assert bound.compute == 451_584 + 7 * 1_568
    assert bound.load == pytest.approx(512 * 512 * 9 / 3.74 + 512 * 49 / 8.2)
    assert bound.store == pytest.approx(512 * 49 / 8.2)
    assert bound.cycles == bound.load


def test_a_pool_behind_a_convolution_counts_beside_it() -> None:
    pool = builders.pooling((2, 2), (2, 2))
    layer = _layer(builders.conv(RNG, (16, 8, 8), 16, (1, 1), pool=pool))
    bound = bound_of(layer, PYNQ)
    assert bound.compute == 64 + 7 * (64 + 16)
    assert bound.store == pytest.approx(16 * 16 / 8.2)


def test_a_depthwise_product_takes_a_whole_micro_op() -> None:
    layer = _layer(builders.conv(RNG, (64, 8, 8), 64, (3, 3), padding=(1, 1, 1, 1), groups=64))
    bound = bound_of(layer, PYNQ)
    assert bound.compute == (9 + 7) * 4 * 64
    assert bound.load == pytest.approx(4 * 9 * 256 / 3.74 + 64 * 64 / 8.2)


def test_what_took_the_most_is_named() -> None:
    counters = {"gemm_uops": 100, "alu_uops": 60, "bytes": {"WGT": 256}, "rows": {"WGT": 1}}
    assert busiest({**counters, "instructions": {}}, PYNQ) == "ALU"
    assert busiest({**counters, "instructions": {"GEMM": 2}}, PYNQ) == "instructions"


def test_the_roof_of_a_pynq() -> None:
    """25.6 GMAC/s as vta.md says; 3.74 and 8.2 bytes a cycle at 100 MHz."""
    roof = roof_of(PYNQ)
    assert roof.config == "pynq_z1"
    assert (roof.gmac_s, roof.weight_gb_s, roof.input_gb_s) == pytest.approx((25.6, 0.374, 0.82))
