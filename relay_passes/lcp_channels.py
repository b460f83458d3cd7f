"""Which channels of the network each branch begins with.

Units of a group are ranked by what they carry, |weights in| * |weights out|, and dealt to the
branches like cards, there and back: with two branches ranks 0 3 4 7... and 1 2 5 6... Together
the branches so begin with all channels, and none is much weaker than another. Fattened branches
take, after their own, the most important of the others'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.relay_passes.channel_groups import Channels, Group, Layout
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node

Indices = NDArray[np.intp]


def narrow_width(group: Group, branches: int, fatten: float) -> int:
    """Return the units that a branch has of a group.

    ``width / branches`` rounded down, at least 1 (LCP, Procedure 1), then fattened by ``fatten``
    percent and rounded to the nearest: this gives the widths of LCP, Tables 2 and 3.
    """
    if group.fixed:
        return group.width
    share = max(1, group.width // branches)
    return min(group.width, int(share * (100 + fatten) / 100 + 0.5))


def deal_units(ranked: Indices, width: int, branches: int) -> tuple[Indices, ...]:
    """Return the units of every branch, ascending.

    Parameters
    ----------
    ranked : all units of a group, the most important first.
    width : units that a branch has; above its share, units are in several branches.
    """
    rounds = np.arange(len(ranked)) // branches
    places = np.arange(len(ranked)) % branches
    owner = np.where(rounds % 2 == 0, places, branches - 1 - places)
    hands = []
    for branch in range(branches):
        own = owner == branch
        # With more branches than units, the last branches begin as the first ones do.
        first = ranked[own] if own.any() else ranked[[branch % len(ranked)]]
        others = ranked[~np.isin(ranked, first)]
        hands.append(np.sort(np.concatenate([first, others])[:width]))
    return tuple(hands)


def rank_units(
    graph: NetworkGraph, nodes: Sequence[Node], channels: Channels
) -> tuple[Indices, ...]:
    """Return the units of every group, the most important first.

    The importance of a unit is the product of two norms: of the weights that make it and of those
    that read it, with those of depthwise and grouped convolutions as a factor between. It stays
    when a channel is made larger here and smaller there, which changes nothing after ReLU.
    """
    made = [np.zeros(group.width) for group in channels.groups]
    read = [np.zeros(group.width) for group in channels.groups]
    passed = [np.ones(group.width) for group in channels.groups]
    for node in nodes:
        if node.op not in ("nn.conv2d", "matmul"):
            continue
        data, weight = node.operands
        assert isinstance(data, int)
        assert isinstance(weight, Constant)
        rows, columns = _energies(weight, transposed=node.op == "matmul")
        if node.op == "nn.conv2d" and int(node.call.attrs.groups) > 1:
            for group, energy in _by_unit(channels, channels.layouts[node.index], rows):
                passed[group] *= energy
            continue
        for group, energy in _by_unit(channels, channels.layouts[node.index], rows):
            made[group] += energy
        for group, energy in _by_unit(channels, channels.layouts[data], columns):
            read[group] += energy
    return tuple(
        np.argsort(-(a * b * c), kind="stable") for a, b, c in zip(made, passed, read, strict=True)
    )


def _energies(
    weight: Constant, transposed: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sums of squares by output channel and by input channel."""
    data = np.from_dlpack(weight.expr.value)
    data = data.reshape(*data.shape[:2], -1)
    first, second = np.einsum("abk,abk->a", data, data), np.einsum("abk,abk->b", data, data)
    return (second, first) if transposed else (first, second)


def _by_unit(
    channels: Channels, layout: Layout, values: NDArray[np.float32]
) -> list[tuple[int, NDArray[np.float64]]]:
    """Sum values of channels over the units they belong to."""
    found, begin = [], 0
    for part in layout:
        end = begin + channels.groups[part.group].width * part.size
        sums = values[begin:end].reshape(-1, part.size).sum(axis=1, dtype=np.float64)
        found.append((part.group, sums))
        begin = end
    return found


def kept_channels(channels: Channels, layout: Layout, units: Sequence[Indices]) -> Indices:
    """Return the channels of a tensor that stay when of each group only some units stay."""
    kept, begin = [], 0
    for part in layout:
        own = units[part.group][:, None] * part.size + np.arange(part.size)
        kept.append(begin + own.reshape(-1))
        begin += channels.groups[part.group].width * part.size
    return np.concatenate(kept)
