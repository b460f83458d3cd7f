"""Tuning: never worse than a compile, decided by the simulator, right whatever it picks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tvm

from lcp_tvm.errors import PackageError
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.search import best_tiling, price
from lcp_tvm.vta.tune import jobs_of, measure, neighbours, tune
from tests.reference import evaluate
from tests.vta import builders

PYNQ = load_config("pynq_z1")
PADS = (1, 1, 1, 1)


def a_module(**options: object) -> tvm.IRModule:
    rng = np.random.default_rng(1)
    return builders.conv(rng, (64, 14, 14), 96, (3, 3), padding=PADS, **options)  # type: ignore[arg-type]


def ticks(count: int) -> Iterator[float]:
    """A clock by which every look at it takes a second, for so long."""
    yield from range(count)
    while True:
        yield 1e9


def test_no_time_finds_what_a_compile_does() -> None:
    layer = builders.conv_of(a_module(), PYNQ)
    found = tune(layer, PYNQ, 0.0)
    assert found.before.tiling == best_tiling(conv_shape(layer, PYNQ), PYNQ)
    assert found.after.price <= found.before.price


def test_more_time_is_never_worse() -> None:
    layer = builders.conv_of(a_module(), PYNQ)
    clock = ticks(60)
    found = tune(layer, PYNQ, 60.0, clock=lambda: next(clock))
    assert found.after.price <= found.before.price
    assert measure(layer, found.after.tiling, PYNQ) == found.after


def test_what_is_known_to_be_better_stays() -> None:
    layer = builders.conv_of(a_module(), PYNQ)
    before = tune(layer, PYNQ, 0.0).before
    better = replace(before, cycles=before.cycles // 2)
    worse = replace(before, cycles=before.cycles * 2)
    shape = conv_shape(layer, PYNQ)
    assert tune(layer, PYNQ, 0.0, {shape: better}).after == better
    assert tune(layer, PYNQ, 0.0, {shape: worse}).after.cycles <= before.cycles


@pytest.mark.parametrize("options", [{}, {"skip_shift": 3}, {"stride": (2, 2)}, {"frames": 2}])
def test_any_tiling_computes_the_same_bits(options: dict[str, object]) -> None:
    """A walk over neighbours, far from what a compile would pick."""
    rng = np.random.default_rng(3)
    module = a_module(**options)
    graph = builders.graph_of(module, PYNQ)
    shape = conv_shape(builders.conv_of(module, PYNQ), PYNQ)
    tiling = best_tiling(shape, PYNQ)
    assert tiling is not None
    inputs = builders.random_inputs(rng, module)
    names = [str(param.name) for param in module["main"].params]
    expected = evaluate(module, *inputs)
    for _ in range(12):
        possible = [t for t in neighbours(tiling) if price(shape, t, PYNQ) is not None]
        tiling = possible[int(rng.integers(len(possible)))]
        program = build_program(graph, PYNQ, {shape: tiling})
        outputs, _ = builders.run_program(program, dict(zip(names, inputs, strict=True)), PYNQ)
        (result,) = outputs.values()
        np.testing.assert_array_equal(result, expected)
        assert [layer["tuned"] for layer in program.header["layers"]] == [True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": 0},
        {"rows": 15},
        {"chunk": 5},
        {"acc_slots": 0},
        {"weight_slots": 10_000},
        {"skip_slots": 1},
        {"frames": 2},
    ],
)
def test_a_tiling_that_does_not_fit_is_not_used(wrong: dict[str, int]) -> None:
    module = a_module()
    shape = conv_shape(builders.conv_of(module, PYNQ), PYNQ)
    tiling = best_tiling(shape, PYNQ)
    assert tiling is not None
    program = builders.compile_single(module, PYNQ, {shape: replace(tiling, **wrong)})
    assert [layer["tuned"] for layer in program.header["layers"]] == [False]
    assert program.image == builders.compile_single(module, PYNQ).image


def test_layers_of_one_shape_are_one_job() -> None:
    program = builders.compile_single(a_module(), PYNQ)
    (layer,) = program.header["layers"]
    twice = {"programs": [{"layers": [layer, layer, {"name": "pool", "kind": "max_pool2d"}]}]}
    (job,) = jobs_of(PYNQ, twice)
    assert job.names == (layer["name"],) * 2
    assert conv_shape(job.layer, PYNQ) == conv_shape(builders.conv_of(a_module(), PYNQ), PYNQ)


def test_facts_of_no_layer_are_refused() -> None:
    header = {"programs": [{"layers": [{"name": "c", "facts": {"kind": "conv2d"}}]}]}
    with pytest.raises(PackageError, match=r"layer c: .* compile the network again"):
        jobs_of(PYNQ, header)
