"""Whole tensors scaled so that their best thresholds fall on powers of two.

A threshold that has to be a power of two is up to 1.41 times off the best one, 3 dB of noise. But
a group of tensors (``equalise.ChannelGroup``) may be made any factor smaller if its consumers'
weights become that factor larger; the bounds of clips move along. So every group has a factor
within one octave for free, and the factors are chosen together, one group at a time: each moves
the fit of its tensors, of the weights that make it and of the weights that read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import tvm
from numpy.typing import NDArray

from lcp_tvm.quantise.annotate import with_parameters
from lcp_tvm.quantise.calibrate import TensorStatistics
from lcp_tvm.quantise.equalise import ChannelGroup, rescale
from lcp_tvm.quantise.formats import importance
from lcp_tvm.quantise.graph import Graph
from lcp_tvm.quantise.points import Points
from lcp_tvm.quantise.threshold import SEARCH, safe_bits, squared_error, thinned, thinned_like

STEPS = 8  # factors tried per octave
SWEEPS = 3
SAMPLE = 1 << 14  # numbers of a tensor that its fit is judged by

Misfit = NDArray[np.float64]
"""[STEPS]: noise-to-signal ratio at the best power of two, if multiplied by ``2**(k / STEPS)``."""


def fit(
    module: tvm.IRModule,
    graph: Graph,
    groups: Sequence[ChannelGroup],
    points: Points,
    statistics: Mapping[str, TensorStatistics],
) -> tuple[tvm.IRModule, dict[str, TensorStatistics]]:
    """The module with its groups scaled, and the statistics it then has."""
    factors = [2.0 ** (step / STEPS) for step in _choose(graph, groups, points, statistics)]
    layers = {layer.name: layer for layer in graph.layers}
    clips: dict[str, float] = {}
    scaled = dict(statistics)
    for group, factor in zip(groups, factors, strict=True):
        rescale(layers, group, np.full(group.channels, factor))
        clips |= {name: bound / factor for name, bound in group.clips}
        for name in set(group.tensors) & set(statistics):
            scaled[name] = _divided(statistics[name], factor)
    return with_parameters(module, layers, clips), scaled


def misfit(values: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> Misfit:
    """Noise-to-signal ratios of ``values``; ``weights`` (broadcastable) is their importance."""
    if weights is not None:
        weights = thinned_like(weights, values.shape, SAMPLE)
    values = thinned(values, SAMPLE)
    power = squared_error(values, -64, weights)  # all of the signal is lost
    best = np.zeros(STEPS)
    if power == 0.0:
        return best
    for step in range(STEPS):
        scaled = np.asarray(values * 2.0 ** (step / STEPS), np.float32)
        coarsest = safe_bits(float(np.max(np.abs(scaled))))
        errors = [squared_error(scaled, coarsest + more, weights) for more in range(SEARCH)]
        best[step] = min(errors) / (power * 4.0 ** (step / STEPS))
    return best


def _choose(
    graph: Graph,
    groups: Sequence[ChannelGroup],
    points: Points,
    statistics: Mapping[str, TensorStatistics],
) -> list[int]:
    """Steps that each group is divided by, by coordinate descent from no change."""
    tensors = {
        name: misfit(statistics[name].samples)
        for group in groups
        for name in group.tensors
        if name in points.quantised
    }
    touched = {name for group in groups for name in (*group.producers, *group.consumers)}
    weights = {
        layer.name: misfit(layer.weight, importance(layer, statistics[layer.data]))
        for layer in graph.layers
        if layer.name in touched
    }
    # What one step of a group does to the weights of its layers: consumers grow, producers shrink.
    signs = [
        {name: (name in group.consumers) - (name in group.producers) for name in touched}
        for group in groups
    ]
    steps, moved = [0] * len(groups), dict.fromkeys(touched, 0)
    for _ in range(SWEEPS):
        for index, group in enumerate(groups):
            layers = {name: sign for name, sign in signs[index].items() if sign}
            base = {name: moved[name] - sign * steps[index] for name, sign in layers.items()}
            held = [tensors[name] for name in group.tensors if name in tensors]
            costs = [
                sum(float(table[-step % STEPS]) for table in held)
                + sum(
                    float(weights[name][(base[name] + sign * step) % STEPS])
                    for name, sign in layers.items()
                )
                for step in range(STEPS)
            ]
            steps[index] = int(np.argmin(costs))
            moved |= {name: base[name] + sign * steps[index] for name, sign in layers.items()}
    return steps


def _divided(statistics: TensorStatistics, factor: float) -> TensorStatistics:
    return replace(
        statistics,
        samples=np.asarray(statistics.samples / factor, np.float32),
        mean=statistics.mean / factor,
        variance=statistics.variance / factor**2,
        low=np.asarray(statistics.low / factor, np.float32),
        high=np.asarray(statistics.high / factor, np.float32),
    )
