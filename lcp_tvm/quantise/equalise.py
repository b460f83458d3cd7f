"""Cross-layer equalisation: the channels of a tensor brought to like ranges, the function kept.

A channel that its producers make ``s`` times smaller and its consumers weigh ``s`` times larger
changes nothing in float, through anything that commutes with a positive factor: ReLU, max and
average pooling, residual adds (all branches scaled alike). With one scale per tensor it decides
how many of the 256 steps the channel gets. After Nagel et al., arXiv 1906.04721, section 4.1,
extended from pairs of layers to all layers that share a tensor's channels.

A clip (ReLU6) does not commute. Channels that stay below its bound on the calibration pictures
are scaled as far as they stay below it; the others keep their scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.quantise.calibrate import TensorStatistics
from lcp_tvm.quantise.graph import ACTIVATIONS, Graph, Layer, shape_of

SWEEPS = 12  # at most; ranges settle to a few per cent within ten
SETTLED = 1.02  # largest factor of the last sweep
LIMIT = 2.0**10  # largest factor of one channel in one sweep
HEADROOM = 1.25  # a channel counts as unclipped if it stays this factor below the bound

_LINKS = ACTIVATIONS | {"nn.max_pool2d", "mean", "reshape", "add"}

Factors = NDArray[np.float64]
"""[channels], or [outputs, inputs] of ranges."""


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Tensors whose channels have to be scaled alike, and the layers on both sides of them."""

    tensors: tuple[str, ...]
    producers: tuple[str, ...]  # names of layers
    consumers: tuple[str, ...]
    clips: tuple[tuple[str, float], ...]  # clip variables and their upper bounds
    channels: int


def equalise(
    graph: Graph, groups: Sequence[ChannelGroup], statistics: Mapping[str, TensorStatistics]
) -> dict[str, Layer]:
    """All layers by name, those of ``groups`` (see :func:`channel_groups`) equalised.

    ``statistics`` must hold what :func:`needed_statistics` names.
    """
    layers = {layer.name: layer for layer in graph.layers}
    ranges = _range_matrices(layers, groups)
    factors = {group: np.ones(group.channels) for group in groups}
    for _ in range(SWEEPS):
        largest = 1.0
        for group in groups:
            step = _step(group, layers, ranges, statistics, factors[group])
            factors[group] = factors[group] * step
            for name in group.producers:
                ranges[name] = ranges[name] / step[:, None]
            for name in group.consumers:
                ranges[name] = _scaled_inputs(layers[name], ranges[name], step)
            largest = max(largest, float(np.max(step)), float(np.max(1.0 / step)))
        if largest < SETTLED:
            break
    for group in groups:
        rescale(layers, group, factors[group])
    return layers


def rescale(layers: dict[str, Layer], group: ChannelGroup, factors: Factors) -> None:
    """Make the group's channels ``factors`` times smaller, in place; clips are the caller's."""
    for name in group.producers:
        layers[name] = _divide_outputs(layers[name], factors)
    for name in group.consumers:
        layers[name] = _multiply_inputs(layers[name], factors)


def needed_statistics(graph: Graph, groups: Sequence[ChannelGroup]) -> set[str]:
    """Names of the variables whose ranges decide the factors."""
    layers = {layer.name: layer for layer in graph.layers}
    read = {layers[name].data for group in groups for name in group.consumers}
    return read | {name for group in groups for name, _ in group.clips}


def channel_groups(graph: Graph) -> tuple[ChannelGroup, ...]:
    """The groups of tensors that can be scaled without changing what the network computes."""
    layers = {layer.name: layer for layer in graph.layers}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for name in graph.bindings:
        root(name)
        if graph.op(name) in _LINKS:
            for operand in graph.operands(name):
                parent[root(operand)] = root(name)
    members: dict[str, list[str]] = {}
    for name in graph.bindings:
        members.setdefault(root(name), []).append(name)
    sources = {root(graph.input)}
    found = (
        _channel_group(graph, layers, tuple(names))
        for key, names in members.items()
        if key not in sources
    )
    return tuple(group for group in found if group is not None)


def _channel_group(
    graph: Graph, layers: Mapping[str, Layer], tensors: tuple[str, ...]
) -> ChannelGroup | None:
    producers = tuple(name for name in tensors if name in layers)
    readers = {reader for name in tensors for reader in graph.readers.get(name, ())}
    consumers = tuple(name for name in graph.bindings if name in readers and name in layers)
    shapes = {name: shape_of(graph.bindings[name]) for name in tensors}
    if not producers or not consumers or graph.outputs.intersection(tensors):
        return None
    if any(name not in layers and not _scales(graph, layers, name) for name in tensors):
        return None
    if any(reader not in layers and reader not in tensors for reader in readers):
        return None
    channels = {shapes[name][1] for name in producers}
    if len(channels) != 1 or any(shape[1] % min(channels) for shape in shapes.values()):
        return None
    clips = tuple(
        (name, float(graph.bindings[name].args[2].value))
        for name in tensors
        if graph.op(name) == "clip"
    )
    return ChannelGroup(tensors, producers, consumers, clips, min(channels))


def _scales(graph: Graph, layers: Mapping[str, Layer], name: str) -> bool:
    """Whether an operator commutes with a positive factor per channel."""
    expr, op = graph.bindings[name], graph.op(name)
    if op == "add":
        biases = {layer.bias_name for layer in layers.values()}
        shapes = {shape_of(arg) for arg in expr.args}
        return name in biases or (len(graph.operands(name)) == 2 and len(shapes) == 1)
    if op == "clip":
        return float(expr.args[1].value) == 0.0
    if op == "mean":
        return sorted(int(axis) % 4 for axis in expr.attrs.axis or ()) == [2, 3]
    if op == "reshape":
        before, after = shape_of(expr.args[0]), shape_of(expr)
        return len(after) == 2 and before[0] == after[0]
    return op in _LINKS


def _step(
    group: ChannelGroup,
    layers: Mapping[str, Layer],
    ranges: Mapping[str, Factors],
    statistics: Mapping[str, TensorStatistics],
    scaled: Factors,
) -> Factors:
    """What to divide each channel by, so that supply and demand of range meet half way.

    Supply is the larger of the channel's share in the range of the weights that make it and in
    the range of the tensor itself, so that a channel is not blown up to where it sets the
    tensor's scale; demand is its share in the range of the weights that read it.
    """
    made = [ranges[name].max(axis=1) for name in group.producers]
    tensors = [statistics[layers[name].data].magnitude for name in group.consumers]
    held = [tensor.reshape(group.channels, -1).max(axis=1) / scaled for tensor in tensors]
    read = [_input_ranges(layers[name], ranges[name]) for name in group.consumers]
    supply = np.max([_relative(shares) for shares in (*made, *held)], axis=0)
    demand = np.max([_relative(shares) for shares in read], axis=0)
    live = (supply > 0) & (demand > 0)
    factors = np.ones(group.channels)
    factors[live] = np.sqrt(supply[live] / demand[live])
    factors = np.clip(factors, 1.0 / LIMIT, LIMIT)
    for name, bound in group.clips:
        highest = statistics[name].high / scaled
        unclipped = statistics[name].high * HEADROOM <= bound
        factors = np.where(unclipped, np.maximum(factors, highest * HEADROOM / bound), 1.0)
    return factors


def _relative(ranges: Factors) -> Factors:
    return ranges / max(float(ranges.max()), 1e-30)


def _range_matrices(
    layers: Mapping[str, Layer], groups: Sequence[ChannelGroup]
) -> dict[str, Factors]:
    """Largest weight of each output for each input channel of its convolution group.

    Shape [outputs, inputs / groups]; all that the factors depend on, and much smaller than the
    weights of a large kernel or of a dense layer behind a flattened picture.
    """
    channels = {name: group.channels for group in groups for name in group.consumers}
    matrices = {}
    for name in {name for group in groups for name in (*group.producers, *group.consumers)}:
        weight = layers[name].weight
        if layers[name].op == "dense":
            rows = channels.get(name, len(weight))
            largest = np.abs(weight).reshape(rows, -1, weight.shape[1]).max(axis=1).T
        else:
            largest = np.abs(weight).max(axis=(2, 3))
        matrices[name] = np.asarray(largest, np.float64)
    return matrices


def _input_ranges(layer: Layer, matrix: Factors) -> Factors:
    """Largest weight that each of the tensor's channels is multiplied with."""
    grouped = matrix.reshape(layer.groups, -1, matrix.shape[1])
    return np.asarray(grouped.max(axis=1).reshape(-1))


def _scaled_inputs(layer: Layer, matrix: Factors, factors: Factors) -> Factors:
    per_group = factors.reshape(layer.groups, 1, matrix.shape[1])
    grouped = matrix.reshape(layer.groups, -1, matrix.shape[1])
    return np.asarray((grouped * per_group).reshape(matrix.shape))


def _divide_outputs(layer: Layer, factors: Factors) -> Layer:
    shape = (1, -1) if layer.op == "dense" else (-1, 1, 1, 1)
    weight = layer.weight * (1.0 / factors).astype(np.float32).reshape(shape)
    return replace(layer, weight=weight, bias=(layer.bias / factors).astype(np.float32))


def _multiply_inputs(layer: Layer, factors: Factors) -> Layer:
    weight, narrow = layer.weight, factors.astype(np.float32)
    if layer.op == "dense":
        rows = np.repeat(narrow, weight.shape[0] // len(narrow))
        return replace(layer, weight=weight * rows[:, None])
    per_group = narrow.reshape(layer.groups, 1, weight.shape[1], 1, 1)
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
    return replace(layer, weight=(grouped * per_group).reshape(weight.shape))
