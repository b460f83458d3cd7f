"""Write pooling over whole channels, and rounding up, one way.

mean(x, [-1, -2], keepdims=False)      ->  reshape(mean(x, [2, 3], keepdims=True))
avg_pool2d(x, all of H and W)          ->  mean(x, [2, 3], keepdims=True)
adaptive_avg_pool2d(x, 1x1)            ->  mean(x, [2, 3], keepdims=True)
max_pool2d(x, ceil_mode=True)          ->  max_pool2d(x, more padding)
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_call, rewrite_bindings


def _global_mean(x: Any) -> Any:
    return relax.op.mean(x, axis=[2, 3], keepdims=True)


def _of_mean(graph: Graph, name: str, value: Any) -> Any:
    x = value.args[0]
    axes = value.attrs.axis
    if len(x.ty.shape) != 4 or axes is None or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
        return None
    if value.attrs.keepdims:
        return _global_mean(x)
    pooled = graph.emit_operand(_global_mean(x), name)  # [1, C, 1, 1]
    return relax.op.reshape(pooled, [int(size) for size in list(x.ty.shape)[:2]])


def _of_avg_pool(value: Any) -> Any:
    x, attrs = value.args[0], value.attrs
    whole = list(attrs.pool_size) == [int(size) for size in list(x.ty.shape)[2:]]
    plain = not any(attrs.padding) and all(step == 1 for step in attrs.dilation)
    return _global_mean(x) if whole and plain and attrs.layout == "NCHW" else None


def _of_max_pool(value: Any) -> Any:
    attrs = value.attrs
    if not attrs.ceil_mode or attrs.layout != "NCHW":
        return None
    pads = list(attrs.padding)  # top, left, bottom, right
    shape = relax.BlockBuilder().normalize(value).ty.shape
    for axis in range(2):
        last = (int(shape[2 + axis]) - 1) * attrs.strides[axis]
        reach = last + (attrs.pool_size[axis] - 1) * attrs.dilation[axis] + 1
        size = int(value.args[0].ty.shape[2 + axis])
        pads[2 + axis] = max(pads[2 + axis], reach - size - pads[axis])
    return relax.op.nn.max_pool2d(
        value.args[0], attrs.pool_size, attrs.strides, pads, attrs.dilation, ceil_mode=False
    )


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if is_call(value, "relax.mean"):
        return _of_mean(graph, name, value)
    if is_call(value, "relax.nn.avg_pool2d"):
        return _of_avg_pool(value)
    if is_call(value, "relax.nn.adaptive_avg_pool2d"):
        one = [int(size) for size in value.attrs.output_size or ()] == [1, 1]
        return _global_mean(value.args[0]) if one and value.attrs.layout == "NCHW" else None
    if is_call(value, "relax.nn.max_pool2d"):
        return _of_max_pool(value)
    return None


@tvm.transform.module_pass(opt_level=0, name="RecognisePooling")
def recognise_pooling(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite pooling over whole channels to a mean, and ceil mode to padding."""
    return rewrite_bindings(module, _rule)
