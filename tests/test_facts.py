"""Facts of layers survive JSON, and what is none is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm

from lcp_tvm.facts import FactsError, facts_of, from_facts
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.layer import Conv, Slope
from lcp_tvm.vta.search import best_tiling
from lcp_tvm.vta.tiling import ConvShape, Tiling
from tests.vta import builders

PYNQ = load_config("pynq_z1")
RNG = np.random.default_rng(4)
PADS = (1, 1, 1, 1)

LAYERS: dict[str, Callable[[], tvm.IRModule]] = {
    "convolution": lambda: builders.conv(RNG, (40, 9, 9), 50, (3, 3), padding=PADS),
    "strided": lambda: builders.conv(RNG, (3, 30, 30), 64, (7, 7), stride=(2, 2)),
    "residual": lambda: builders.conv(RNG, (32, 8, 8), 32, (1, 1), skip_shift=9),
    "leaky": lambda: builders.conv(RNG, (16, 8, 8), 16, (1, 1), slope=Slope(13, 6, 32)),
    "depthwise": lambda: builders.conv(RNG, (48, 9, 9), 48, (3, 3), groups=48),
    "frames": lambda: builders.conv(RNG, (16, 8, 8), 16, (1, 1), frames=3),
    "without bias": lambda: builders.conv(RNG, (16, 8, 8), 16, (1, 1), bias_limit=1, shift=0),
    "pooled": lambda: builders.conv(
        RNG, (16, 8, 8), 16, (1, 1), pool=builders.pooling((2, 2), (2, 2))
    ),
    "dense": lambda: builders.dense(RNG, (512,), 10, shift=10),
    "mean": lambda: builders.mean((70, 7, 7), 84, 12),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_the_same_facts_has_the_same_schedule(name: str) -> None:
    layer = builders.conv_of(LAYERS[name](), PYNQ)
    again = from_facts(Conv, json.loads(json.dumps(facts_of(layer))))
    shape = conv_shape(layer, PYNQ)
    assert conv_shape(again, PYNQ) == shape
    assert from_facts(ConvShape, json.loads(json.dumps(facts_of(shape)))) == shape


def test_a_tiling_is_its_fields() -> None:
    tiling = Tiling(4, 7, 28, 1, True, 2, 2, 1)
    assert facts_of(tiling)["blocks_outer"] is True
    assert from_facts(Tiling, facts_of(tiling)) == tiling


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    facts: dict[str, Any] = facts_of(builders.conv_of(LAYERS["convolution"](), PYNQ))
    change(facts)
    return facts


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("window"),
        lambda facts: facts.update(colour=1),
        lambda facts: facts.update(source=None),
        lambda facts: facts.update(groups="1"),
        lambda facts: facts.update(groups=True),
        lambda facts: facts.update(weights="sparse"),
        lambda facts: facts.update(macs=1 << 62),
        lambda facts: facts["window"].update(kernel=[3]),
        lambda facts: facts["weight"].update(shape=[1 << 20, 1 << 20]),
        lambda facts: facts["weight"].update(shape=[-1]),
        lambda facts: facts["weight"].update(type="object"),
        lambda facts: facts["weight"].update(range=[-300, 0]),
        lambda facts: facts["weight"].update(range=[5, 1]),
    ],
)
def test_what_is_no_layer_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(FactsError):
        from_facts(Conv, broken(change))


@pytest.mark.parametrize("values", [None, 3, [], "x"])
def test_what_is_no_object_is_refused(values: object) -> None:
    with pytest.raises(FactsError, match="is no Tiling"):
        from_facts(Tiling, values)


def test_every_tiling_that_the_search_finds_has_facts() -> None:
    shape = conv_shape(builders.conv_of(LAYERS["residual"](), PYNQ), PYNQ)
    tiling = best_tiling(shape, PYNQ)
    assert from_facts(Tiling, facts_of(tiling)) == tiling
