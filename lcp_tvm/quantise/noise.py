"""How much noise quantisation adds, layer by layer: float against QDQ on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tvm

from lcp_tvm.quantise.annotate import DEQUANTISED
from lcp_tvm.quantise.calibrate import Array, Evaluator, batched
from lcp_tvm.quantise.formats import Formats
from lcp_tvm.quantise.graph import Graph
from lcp_tvm.quantise.points import Points


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """One row of the table: a quantised tensor and the layer that makes it."""

    name: str  # of the layer, or of the tensor where no layer makes it
    op: str  # "conv2d", "depthwise", "dense", "add", "mean", ... or "input"
    input_bits: int | None  # fraction bits
    weight_bits: int | None
    output_bits: int
    snr_db: float  # power of the float tensor over that of its error, accumulated noise included


def measure_noise(
    reference: tvm.IRModule,
    quantised: tvm.IRModule,
    graph: Graph,
    points: Points,
    formats: Formats,
    sizes: dict[str, int],
    pictures: Array,
    tick: Callable[[float], None],
) -> tuple[LayerNoise, ...]:
    """The table of all quantised tensors in order of computation.

    ``reference`` is the float module that ``quantised`` was annotated from; pictures [N, C, H, W].
    """
    ratios: dict[str, float] = {}
    batches = list(batched({name: 2 * sizes[name] for name in points.quantised}))
    for position, names in enumerate(batches):
        real = Evaluator(reference, names)
        rounded = Evaluator(quantised, [name + DEQUANTISED for name in names])
        signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for index, picture in enumerate(pictures):
            expected, found = real(picture), rounded(picture)
            for name in names:
                signal[name] += _power(expected[name])
                noise[name] += _power(found[name + DEQUANTISED] - expected[name])
            tick((position + (index + 1) / len(pictures)) / len(batches))
        ratios |= {name: decibels(signal[name], noise[name]) for name in names}
    return tuple(_row(name, graph, formats, ratios[name]) for name in points.quantised)


def decibels(signal: float, noise: float) -> float:
    """Ratio of two powers; infinite where there is no noise."""
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def _power(values: Array) -> float:
    return float(np.sum(np.square(values), dtype=np.float64))


def _row(name: str, graph: Graph, formats: Formats, snr_db: float) -> LayerNoise:
    output_bits = formats.tensors[name]
    for layer in graph.layers:
        if layer.output == name:
            kind = "depthwise" if layer.depthwise else layer.op
            bits = formats.tensors[layer.data], formats.weights[layer.name]
            return LayerNoise(layer.name, kind, *bits, output_bits, snr_db)
    if name == graph.input:
        return LayerNoise(name, "input", None, None, output_bits, snr_db)
    operand = graph.operands(name)[0]
    op = graph.op(name).removeprefix("nn.") or "alias"
    return LayerNoise(name, op, formats.tensors.get(operand), None, output_bits, snr_db)
