"""Replace a network by narrow branches that share only its input and its last layer.

    input -> conv 64 -> conv 128 -> fc 10
    =>  input -> b0_conv 32 -> b0_conv 64 --+
        input -> b1_conv 32 -> b1_conv 64 --concat 128 -> fc 10

LCP, Procedure 1 and Figure 7. The split network is another function than the original: it begins
with the original's most important channels (`lcp_channels`) and is meant to be trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.body import Body
from lcp_tvm.relay_passes.channel_groups import Channels, read_channels
from lcp_tvm.relay_passes.lcp_channels import (
    Indices,
    deal_units,
    kept_channels,
    narrow_width,
    rank_units,
)
from lcp_tvm.relay_passes.narrow import (
    LAYERS,
    classification_layer,
    data_of,
    narrow,
    weight_of,
    with_operands,
    with_weight,
)
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node, read_graph

Merge = Literal["concat", "sum"]


@dataclass(frozen=True, slots=True)
class LcpNetwork:
    """A network of independent branches and a head.

    Attributes
    ----------
    module : one ``main``; the variables of branch i are called ``b<i>_<name in the original>``.
    outputs : the variable that each branch gives to the head.
    origin : the original's variable that all outputs together stand for.
    kept : per branch, the channels of ``origin`` that its output begins with, ascending.
    widths : per layer with weights, the channels of the original and those of one branch.
    """

    module: tvm.IRModule
    outputs: tuple[str, ...]
    origin: str
    kept: tuple[tuple[int, ...], ...]
    widths: Mapping[str, tuple[int, int]]


def split_lcp_network(
    module: tvm.IRModule, branches: int, *, fatten: float = 0.0, merge: Merge = "concat"
) -> LcpNetwork:
    """Return ``module`` as so many narrow branches.

    Parameters
    ----------
    module : a classifier in float Relax after `clean_up`, its weights constants.
    branches : a layer of width w has ``max(1, w // branches)`` channels in each.
    fatten : percent that is added to every width of the branches.
    merge : how the branches' pre-final activations become the input of the classification layer:
        side by side, as in LCP's LeNet and ResNets, or added, as the parameters of its
        CifarNet, VGG and AlexNet rows say; that layer is then narrower too.

    Raises
    ------
    PlanError
        An operator has no narrower form, the network does not end in one classification layer,
        or the branches would not be narrower than the network.
    """
    if branches < 1 or fatten < 0 or 1 + fatten / 100 > branches:
        raise PlanError(
            f"lcp:{branches}+{fatten:g}%: branches must be narrower than the network; "
            f"allowed are 1 or more branches and up to {100 * max(branches - 1, 0)} % to fatten"
        )
    graph = read_graph(module)
    last = classification_layer(graph)
    cut = _end_of_branches(graph, last)
    channels = read_channels(graph, graph.nodes[: last.index + 1])
    _check_groups(graph.nodes[: last.index], channels, branches)
    ranked = rank_units(graph, graph.nodes[: last.index + 1], channels)
    hands = [
        deal_units(order, narrow_width(group, branches, fatten), branches)
        for group, order in zip(channels.groups, ranked, strict=True)
    ]
    kept = [
        {
            index: kept_channels(channels, layout, [hand[branch] for hand in hands])
            for index, layout in channels.layouts.items()
        }
        for branch in range(branches)
    ]

    body = Body(module["main"])
    inputs = dict(zip(graph.inputs, module["main"].params, strict=True))
    ends = []
    for branch in range(branches):
        values: dict[int, Any] = dict(inputs)
        for node in graph.nodes[len(inputs) : cut.index + 1]:
            narrower = narrow(node, values, kept[branch])
            values[node.index] = body.emit(narrower, f"b{branch}_{node.name}")
        ends.append(values[cut.index])
    values = {cut.index: _merged(body, ends, merge)}
    for node in graph.nodes[cut.index + 1 :]:
        values[node.index] = body.emit(_of_head(node, last, values, kept, merge), node.name)
    return LcpNetwork(
        body.into(module, values[graph.outputs[0]]),
        tuple(end.name for end in ends),
        cut.name,
        tuple(tuple(map(int, branch[cut.index])) for branch in kept),
        {
            node.name: (node.shape[1], len(kept[0][node.index]))
            for node in graph.nodes[: cut.index + 1]
            if node.op in LAYERS
        },
    )


def _end_of_branches(graph: NetworkGraph, last: Node) -> Node:
    """Return what branches compute: before flattening and pooling over whole channels.

    The paper's layer counts say so: ResNet-18-split2 has three pools, of which one is shared.
    """
    end = graph.nodes[data_of(last)]
    while end.op in ("mean", "reshape"):
        end = graph.nodes[data_of(end)]
    if end.op == "input":
        raise PlanError(f"lcp: {last.name} is the only layer; there is nothing to divide")
    return end


def _check_groups(nodes: Sequence[Node], channels: Channels, branches: int) -> None:
    """Refuse grouped convolutions of too few groups: one whole group would be more than a share."""
    for node in nodes:
        if node.op == "nn.conv2d" and int(node.call.attrs.groups) > 1:
            (part,) = channels.layouts[data_of(node)]
            group = channels.groups[part.group]
            if part.size > 1 and group.width < branches and not group.fixed:
                raise PlanError(
                    f"{node.name}: a convolution in groups that stay whole can be divided into "
                    f"{group.width} branches at most, not {branches}"
                )


def _merged(body: Body, ends: Sequence[Any], merge: Merge) -> Any:
    """Emit the branches' results as one tensor."""
    if len(ends) == 1:
        return ends[0]
    if merge == "concat":
        return body.emit(R.concat(list(ends), axis=1), "merged")
    total = ends[0]
    for end in ends[1:]:
        total = body.emit(R.add(total, end), "merged")
    return total


def _of_head(
    node: Node,
    last: Node,
    values: Mapping[int, Any],
    kept: Sequence[Mapping[int, Indices]],
    merge: Merge,
) -> Any:
    """Return an operator after the merge; ``last`` is the classification layer."""
    if node.index < last.index:  # pooling or flattening, of all branches' channels
        own = [branch[node.index] for branch in kept]
        merged = np.concatenate(own) if merge == "concat" else own[0]
        return narrow(node, values, {node.index: merged})
    if node is last:
        data = data_of(node)
        weight = _merged_weight(node, [branch[data] for branch in kept], merge)
        return with_weight(node, values[data], weight)
    return with_operands(
        node, [o.expr if isinstance(o, Constant) else values[o] for o in node.operands]
    )


def _merged_weight(node: Node, kept: Sequence[Indices], merge: Merge) -> NDArray[np.float32]:
    """Return the classification layer's weights for the merged channels.

    A channel that several branches have counts once. Channels that are added share a weight, the
    mean of theirs.
    """
    axis = 0 if node.op == "matmul" else 1
    weight = np.moveaxis(weight_of(node), axis, 0)
    times = np.bincount(np.concatenate(kept), minlength=len(weight)).astype(np.float32)
    shares = weight / np.maximum(times, 1).reshape(-1, *[1] * (weight.ndim - 1))
    if merge == "concat":
        merged = shares[np.concatenate(kept)]
    else:
        merged = np.stack([shares[channels] for channels in kept]).mean(axis=0)
    return np.moveaxis(merged, 0, axis).astype(np.float32)
