"""Move factors and offsets per channel into the weights and the bias before them.

    multiply(conv2d(x, w), s)          ->  conv2d(x, w * s)           (matmul alike)
    multiply(add(y, b), s)             ->  add(multiply(y, s), b * s)
    multiply(multiply(x, r), s)        ->  multiply(x, r * s)
    add(add(y, b), t)                  ->  add(y, b + t)
    divide(y, s), subtract(y, t)       ->  multiply(y, 1 / s), add(y, -t), before the above

s, t, b are constants that vary along the channels at most. A bias of a convolution ends as
const[1, C, 1, 1], of a dense layer as const[N]. A value with a second reader is left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.relay_passes.channel import channel_constant, channel_vector
from lcp_tvm.relay_passes.rewrite import Graph, is_call, is_constant, rewrite_bindings

Vector = NDArray[np.float64]


def _match(value: Any, op: str) -> tuple[Any, Vector] | None:
    """Return (data, vector) of ``op(data, constant)``, also with swapped operands."""
    if not is_call(value, op):
        return None
    orders = (
        [list(value.args), list(value.args)[::-1]]
        if op in ("relax.add", "relax.multiply")
        else [list(value.args)]
    )
    for data, constant in orders:
        if not is_constant(data) and (vector := channel_vector(constant, data)) is not None:
            return data, vector
    return None


def _layer(graph: Graph, operand: Any) -> Any:
    """Return the convolution or dense layer that computes ``operand`` from float weights."""
    for op, rank in (("relax.nn.conv2d", 4), ("relax.matmul", 2)):
        call = graph.call_of(operand, op)
        if call is not None and is_constant(call.args[1]) and len(operand.ty.shape) == rank:
            return call
    return None


def _scale(graph: Graph, name: str, data: Any, factor: Vector) -> Any:
    """Return ``data * factor`` with the factor moved as far back as it goes; None: nowhere."""
    if not graph.used_once(data):
        return None
    value = graph.value_of(data)
    if (layer := _layer(graph, data)) is not None:
        x, weights = layer.args
        spread = factor[:, None, None, None] if is_call(layer, "relax.nn.conv2d") else factor
        scaled = (weights.value.numpy() * spread).astype(np.float32)
        return relax.Call(layer.op, [x, relax.const(scaled)], layer.attrs)
    if (found := _match(value, "relax.multiply")) is not None:
        inner, before = found
        return _scale(graph, name, inner, before * factor) or relax.op.multiply(
            inner, channel_constant(before * factor, len(data.ty.shape))
        )
    if (found := _match(value, "relax.add")) is not None:
        inner, offset = found
        rank = len(data.ty.shape)
        scaled = _scale(graph, name, inner, factor)
        if scaled is None:
            scaled = relax.op.multiply(inner, channel_constant(factor, rank))
        return relax.op.add(
            graph.emit_operand(scaled, name), channel_constant(offset * factor, rank)
        )
    return None


def _shift(graph: Graph, data: Any, offset: Vector) -> Any:
    """Return ``data + offset`` merged with an offset before, or in a layer's canonical shape."""
    rank = len(data.ty.shape)
    found = _match(graph.value_of(data), "relax.add")
    if found is not None and graph.used_once(data):
        inner, before = found
        return relax.op.add(inner, channel_constant(before + offset, rank))
    if any(graph.call_of(data, op) is not None for op in ("relax.nn.conv2d", "relax.matmul")):
        return relax.op.add(data, channel_constant(offset, rank))
    return None


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if (found := _match(value, "relax.multiply")) is not None:
        return _scale(graph, name, *found)
    if (found := _match(value, "relax.divide")) is not None and np.all(found[1] != 0):
        return _scale(graph, name, found[0], 1 / found[1])
    if (found := _match(value, "relax.add")) is not None:
        return _shift(graph, *found)
    if (found := _match(value, "relax.subtract")) is not None:
        return _shift(graph, found[0], -found[1])
    return None


@tvm.transform.module_pass(opt_level=0, name="FoldScale")
def fold_scale(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Move factors and offsets per channel into weights and biases."""
    return rewrite_bindings(module, _rule)
