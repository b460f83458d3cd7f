"""Operators of a network on some of their channels.

    conv [64, 32, 3, 3] -> add [1, 64, 1, 1] -> reshape [1, 64 * 49]
    =>  conv [47, 24, 3, 3] -> add [1, 47, 1, 1] -> reshape [1, 47 * 49]

Which channels stay is the caller's to say (`lcp_branches`, `prune_channels`); for every tensor they
must be those of the same units (`channel_groups`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.channel_groups import channel_axis
from lcp_tvm.relay_passes.lcp_channels import Indices
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.rewrite import is_constant

LAYERS = ("nn.conv2d", "matmul")
"""Operators with weights."""


def classification_layer(graph: NetworkGraph) -> Node:
    """Return the last layer with weights, which everything must pass."""
    layers = [node for node in graph.nodes if node.op in LAYERS]
    if not layers:
        raise PlanError("the network has no layers with weights, whose channels could be fewer")
    last = layers[-1]
    if len(graph.outputs) != 1 or last.index not in graph.cuts():
        raise PlanError(
            f"{last.name} is the last layer with weights, and not all results come from it alone; "
            f"networks for classification can be divided into branches and pruned"
        )
    return last


def data_of(node: Node) -> int:
    """Return the node that a layer or reduction reads."""
    return next(operand for operand in node.operands if isinstance(operand, int))


def narrow(node: Node, values: Mapping[int, Any], kept: Mapping[int, Indices]) -> Any:
    """Return a node's operator on narrower operands; its result has the kept channels.

    Parameters
    ----------
    values : the narrower operands, by the index of the node they stand for.
    kept : by the same index, the channels of the network's tensor that stay, ascending.
    """
    own = kept[node.index]
    if node.op in LAYERS:
        data = data_of(node)
        return with_weight(node, values[data], _narrow_weight(node, kept[data], own))
    if node.op == "reshape":
        axis = channel_axis(node.shape)
        sizes = (*node.shape[:axis], len(own), *node.shape[axis + 1 :])
        return R.reshape(values[data_of(node)], sizes)
    return with_operands(
        node,
        [
            _narrow_constant(node, operand, own) if isinstance(operand, Constant)
            else values[operand]
            for operand in node.operands
        ],
    )  # fmt: skip


def _narrow_weight(node: Node, inputs: Indices, outputs: Indices) -> NDArray[np.float32]:
    """Return the weights between the kept channels."""
    weight = weight_of(node)
    if node.op == "matmul":
        return weight[inputs][:, outputs]
    grouped = int(node.call.attrs.groups) > 1
    return weight[outputs] if grouped else weight[outputs][:, inputs]


def weight_of(node: Node) -> NDArray[np.float32]:
    """Return the weights of a layer, [out, in / groups, ...] or dense [in, out]."""
    weight = node.operands[1]
    assert isinstance(weight, Constant)
    return np.asarray(np.from_dlpack(weight.expr.value), np.float32)


def _narrow_constant(node: Node, constant: Constant, kept: Indices) -> Any:
    """Return the part of a constant operand that belongs to the kept channels."""
    rank = len(constant.shape)
    behind = len(node.shape) - channel_axis(node.shape)  # axes from the channels to the last
    axis = 0 if node.op == "nn.prelu" else rank - behind
    if not 0 <= axis < rank or constant.shape[axis] == 1:
        return constant.expr
    return relax.const(np.from_dlpack(constant.expr.value).take(kept, axis=axis))


def with_weight(node: Node, data: Any, weight: NDArray[np.float32]) -> Any:
    """Return a convolution or dense layer with other weights."""
    attrs, constant = node.call.attrs, relax.const(np.ascontiguousarray(weight))
    if node.op == "matmul":
        return R.matmul(data, constant, out_dtype=attrs.out_dtype)
    return R.nn.conv2d(
        data,
        constant,
        strides=list(attrs.strides),
        padding=list(attrs.padding),
        dilation=list(attrs.dilation),
        groups=int(data.ty.shape[1]) // weight.shape[1],
        out_dtype=attrs.out_dtype,
    )


def with_operands(node: Node, operands: Sequence[Any]) -> Any:
    """Return a node's call with other operands in their order."""
    left = iter(operands)

    def replaced(arg: Any) -> Any:
        if isinstance(arg, relax.Tuple):
            return relax.Tuple([replaced(field) for field in arg.fields])
        return next(left) if isinstance(arg, relax.Var) or is_constant(arg) else arg

    return relax.Call(
        node.call.op, list(map(replaced, node.call.args)), node.call.attrs, node.call.ty_args
    )
