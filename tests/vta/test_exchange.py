"""Dense layers whose weights travel through the input port: right, and chosen where faster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.bound import busiest
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.exchange import cycles_of, exchange_of
from lcp_tvm.vta.layer import Conv, Layer
from lcp_tvm.vta.read_graph import read_graph
from lcp_tvm.vta.simulator import Stats
from tests.reference import evaluate
from tests.vta import builders

PYNQ = load_config("pynq_z1")

CONFIGS = [
    PYNQ,
    load_config("ultra96"),
    replace(PYNQ, name="wide", log_block=5),
    replace(PYNQ, name="deep", hazard_distance=40),
]


def layer_of(module: tvm.IRModule, config: VtaConfig = PYNQ) -> Layer:
    partition = partition_vta(module, config)
    (function,) = (f for v, f in partition.module.functions.items() if v.name_hint != "main")
    return read_graph(function, "vta_0").nodes[0].layer


def run(module: tvm.IRModule, rng: np.random.Generator, config: VtaConfig = PYNQ) -> Stats:
    """Compile, simulate, compare every bit with numpy; what it cost."""
    (x,) = builders.random_inputs(rng, module)
    program = builders.compile_single(module, config)
    outputs, stats = builders.run_program(program, {program.header["inputs"][0]["name"]: x}, config)
    (result,) = outputs.values()
    np.testing.assert_array_equal(result, evaluate(module, x))
    return stats


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(
    ("source", "channels"),
    [((512,), 1000), ((1030,), 1000), ((70, 7, 5), 333), ((16 * 1100,), 100)],
    ids=["resnet", "in parts", "flattened", "in chunks"],
)
def test_weights_as_inputs_give_the_same_bits(
    source: tuple[int, ...], channels: int, config: VtaConfig, rng: np.random.Generator
) -> None:
    module = builders.dense(rng, source, channels, shift=10)
    assert exchange_of(layer_of(module, config), config) is not None
    run(module, rng, config)


@pytest.mark.parametrize(("inputs", "outputs"), [(512, 1000), (1024, 1000), (8144, 256)])
def test_cycles_are_modelled_within_three_per_cent(
    inputs: int, outputs: int, rng: np.random.Generator
) -> None:
    module = builders.dense(rng, (inputs,), outputs, shift=10)
    layer = layer_of(module)
    exchange = exchange_of(layer, PYNQ)
    assert isinstance(layer, Conv)
    assert exchange is not None
    cycles, _ = cycles_of(exchange, layer, PYNQ)
    assert cycles == pytest.approx(run(module, rng).cycles, rel=0.03)


def test_resnets_dense_layer_takes_less_than_its_weights_through_their_own_port(
    rng: np.random.Generator,
) -> None:
    stats = run(builders.dense(rng, (512,), 1000, shift=10), rng)
    assert stats.cycles < 82_000 < 0.6 * 512_000 / 3.74
    counters = {name: getattr(stats, name) for name in ("gemm_uops", "alu_uops", "bytes", "rows")}
    assert busiest({**counters, "instructions": stats.instructions}, PYNQ) == "input port"


@pytest.mark.parametrize(
    ("source", "channels"), [((37,), 100), ((512,), 10), ((5, 3, 7), 64)], ids=str
)
def test_a_small_layer_keeps_its_operands(
    source: tuple[int, ...], channels: int, rng: np.random.Generator
) -> None:
    """Spreading the inputs and gathering the outputs takes longer than is saved."""
    assert exchange_of(layer_of(builders.dense(rng, source, channels)), PYNQ) is None


def test_a_convolution_keeps_its_operands(rng: np.random.Generator) -> None:
    module = builders.conv(rng, (512, 7, 7), 64, (3, 3), padding=(1, 1, 1, 1))
    assert exchange_of(layer_of(module), PYNQ) is None
