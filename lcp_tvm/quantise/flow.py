"""Float network in, QDQ network out: the order of the steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tvm

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.network import Network
from lcp_tvm.quantise.annotate import annotate, with_parameters
from lcp_tvm.quantise.bias_correction import correct_bias
from lcp_tvm.quantise.calibrate import Array, Progress, collect
from lcp_tvm.quantise.equalise import channel_groups, equalise, needed_statistics
from lcp_tvm.quantise.fit import fit
from lcp_tvm.quantise.formats import choose_formats
from lcp_tvm.quantise.graph import Graph, read_graph, shape_of, with_biases
from lcp_tvm.quantise.noise import LayerNoise, measure_noise
from lcp_tvm.quantise.points import find_points

RANDOM_PICTURES = 2  # enough to see that a network runs; its numbers mean nothing anyway


@dataclass(frozen=True, slots=True)
class Quantised:
    """A network in QDQ Relax, and how good it is."""

    module: tvm.IRModule
    table: tuple[LayerNoise, ...]
    messages: tuple[str, ...]


def quantise(
    network: Network, calibration: Array | None, *, progress: Progress | None = None
) -> Quantised:
    """Quantise a float network to int8 with one power-of-two scale per tensor.

    Parameters
    ----------
    network : a float network; its ``main`` has one input [1, C, H, W].
    calibration : preprocessed pictures [N, C, H, W], float32; a handful to a few dozen. None
        stands for two random ones, which only shows that a network compiles.
    progress : called with the step's name and the fraction of it that is done.

    Raises
    ------
    InputError
        If the pictures do not have the network's input shape.
    ModelError
        If nothing in the network can run on integers.
    """
    pictures, messages = _pictures(network, calibration)
    report = progress or (lambda _step, _done: None)

    module = with_biases(network.module)
    graph = read_graph(module)
    if not graph.layers:
        raise ModelError(
            f"network {network.name}: no convolution or dense layer with constant weights found, "
            "so there is nothing to quantise; compile it for a CPU target in float instead"
        )
    groups = channel_groups(graph)
    plain = _attempt(module, pictures, report, "")
    if calibration is None or not groups:
        return replace(plain, messages=messages)

    sizes = _sizes(graph, needed_statistics(graph, groups))
    statistics = collect(module, sizes, pictures, _tick(report, "equalise"))
    layers = equalise(graph, groups, statistics)
    equalised = _attempt(with_parameters(module, layers), pictures, report, "equalised ")
    better = max(plain, equalised, key=lambda attempt: attempt.table[-1].snr_db)
    verdict = "kept" if better is equalised else "left out"
    return replace(
        better,
        messages=(
            *messages,
            f"cross-layer equalisation of {len(groups)} groups of tensors {verdict}: the last "
            f"layer has {equalised.table[-1].snr_db:.1f} dB with it, "
            f"{plain.table[-1].snr_db:.1f} dB without",
        ),
    )


def _attempt(module: tvm.IRModule, pictures: Array, report: Progress, label: str) -> Quantised:
    """Choose formats for a float module whose layers all have biases, quantise, measure."""
    graph = read_graph(module)
    points = find_points(graph)
    sizes = _sizes(graph, {*points.quantised, *(layer.data for layer in graph.layers)})
    statistics = collect(module, sizes, pictures, _tick(report, f"calibrate {label}".strip()))
    module, statistics = fit(module, graph, channel_groups(graph), points, statistics)
    graph = read_graph(module)
    formats = choose_formats(graph, points, statistics)
    corrected = tuple(
        correct_bias(layer, formats.weights[layer.name], statistics[layer.data].mean)
        for layer in graph.layers
    )
    quantised = annotate(module, replace(graph, layers=corrected), points, formats)
    tick = _tick(report, f"measure {label}".strip())
    table = measure_noise(module, quantised, graph, points, formats, sizes, pictures, tick)
    return Quantised(quantised, table, ())


def _pictures(network: Network, calibration: Array | None) -> tuple[Array, tuple[str, ...]]:
    shape = network.input_shape[1:]
    if calibration is None:
        random = np.random.default_rng(0)
        pictures = random.standard_normal((RANDOM_PICTURES, *shape)).astype(np.float32)
        return pictures, (
            "no calibration pictures given: scales come from random numbers, so times and sizes "
            "are right but answers are not; give --calibrate a folder of pictures for those",
        )
    if calibration.ndim != len(shape) + 1 or calibration.shape[1:] != shape or not len(calibration):
        raise InputError(
            f"calibration data has shape {list(calibration.shape)}, the network's input "
            f"{network.input_name} needs {['N', *shape]} with N at least 1"
        )
    if not np.all(np.isfinite(calibration)):
        raise InputError(
            "calibration data has numbers that are not finite; check its preprocessing"
        )
    return np.ascontiguousarray(calibration, np.float32), ()


def _sizes(graph: Graph, names: set[str]) -> dict[str, int]:
    """Elements of each named variable, in order of computation."""
    sizes = {graph.input: 0} if graph.input in names else {}
    for name, expr in graph.bindings.items():
        if name in names:
            sizes[name] = math.prod(shape_of(expr))
    return sizes


def _tick(report: Progress, step: str) -> Callable[[float], None]:
    return lambda done: report(step, done)
