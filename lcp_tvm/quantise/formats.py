"""Fraction bits of every int8 tensor, chosen together so that the integer form can shift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.quantise.calibrate import TensorStatistics
from lcp_tvm.quantise.graph import ACTIVATIONS, Graph, Layer
from lcp_tvm.quantise.points import Points
from lcp_tvm.quantise.threshold import best_bits, best_weight_bits

_SUMMAND_LIMIT = 2**29  # bias and aligned residual operand each stay below this in 32 bits


@dataclass(frozen=True, slots=True)
class Formats:
    """Fraction bits: of int8 variables, and of layers' weights."""

    tensors: Mapping[str, int]
    weights: Mapping[str, int]

    def accumulator(self, layer: Layer) -> int:
        return self.tensors[layer.data] + self.weights[layer.name]


def choose_formats(
    graph: Graph, points: Points, statistics: Mapping[str, TensorStatistics]
) -> Formats:
    """Fraction bits of least mean-squared error, then coarser where a shift would be negative.

    An output finer than its accumulator, or a residual operand finer than the sum it joins, holds
    nothing that the coarser one does not: those are coarsened. Weights are coarsened where a bias
    or a residual operand would not fit 32 bits.
    """
    scales = {
        scale: best_bits(
            [
                statistics[name].samples
                for name in points.quantised
                if points.scale_of[name] == scale
            ]
        )
        for scale in dict.fromkeys(points.scale_of[name] for name in points.quantised)
    }
    weights = {
        layer.name: best_weight_bits(layer.weight, importance(layer, statistics[layer.data]))
        for layer in graph.layers
    }
    while _coarsen(graph, points, scales, weights):
        pass
    tensors = {name: scales[scale] for name, scale in points.scale_of.items()}
    return Formats(tensors, weights)


def importance(layer: Layer, data: TensorStatistics) -> NDArray[np.float64]:
    """How much an error of each weight adds to the output's noise, given the bias is corrected.

    The mean of an input only shifts the output, which the bias takes back: its variance counts. A
    thousandth of the mean's power stays, so that few pictures do not make an input worthless.
    """
    power = data.variance + 1e-3 * np.square(data.mean)
    power = np.maximum(power, 1e-3 * max(float(np.mean(power)), 1e-30))
    if layer.op == "dense":
        return power[:, None]
    outputs = len(layer.weight) // layer.groups
    return np.repeat(power.reshape(layer.groups, -1), outputs, axis=0)[:, :, None, None]


def _coarsen(graph: Graph, points: Points, scales: dict[str, int], weights: dict[str, int]) -> bool:
    """One round of the constraints; whether any of them changed something."""
    before = dict(scales), dict(weights)
    scale_of = points.scale_of

    def limit(name: str, bits: int) -> None:
        scales[scale_of[name]] = min(scales[scale_of[name]], bits)

    for layer in graph.layers:
        sums = scales[scale_of[layer.data]] + weights[layer.name]
        limit(layer.output, sums)
        largest = float(np.max(np.abs(layer.bias), initial=0.0))
        if layer.skip is not None and layer.skip in scale_of:
            limit(layer.skip, sums)
            largest = max(largest, math.ldexp(128.0, -scales[scale_of[layer.skip]]))
        while math.ldexp(largest, scales[scale_of[layer.data]] + weights[layer.name]) >= (
            _SUMMAND_LIMIT
        ):
            weights[layer.name] -= 1
    outputs = {layer.output for layer in graph.layers}
    for name in points.quantised:
        if name not in outputs and graph.op(name) in {"add", *ACTIVATIONS}:
            source = graph.operands(name)[0]
            while source not in scale_of and source in graph.bindings:
                source = graph.operands(source)[0]
            if source in scale_of:
                limit(name, scales[scale_of[source]])
    return before != (scales, weights)
