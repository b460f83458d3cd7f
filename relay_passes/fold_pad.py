"""Let convolutions and max pools pad for themselves.

    conv2d(pad(x, p, 0), padding=q)          ->  conv2d(x, padding=p+q)
    max_pool2d(pad(x, p, -inf), padding=q)   ->  max_pool2d(x, padding=p+q)
    max_pool2d(pad(x, p, 0), padding=q)      ->  max_pool2d(x, padding=p+q)    where x >= 0

A pool pads with -inf. In place of zeros that is exact where every window sees a pixel, none of
them below zero: p+q smaller than the window, x after relu or the like.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_call, rewrite_bindings


def _spatial_widths(pad: Any) -> list[int] | None:
    """Return [top, left, bottom, right] of padding that only grows H and W, or None."""
    width = [int(n) for n in pad.attrs.pad_width]
    if str(pad.attrs.pad_mode) != "constant" or len(width) != 8:
        return None
    if any(width[:4]) or min(width) < 0:
        return None
    return [width[4], width[6], width[5], width[7]]


def _is_never_negative(graph: Graph, operand: Any) -> bool:
    """Whether every element of ``operand`` is known to be 0 or more."""
    value = graph.value_of(operand)
    if is_call(value, "relax.nn.relu") or is_call(value, "relax.sigmoid"):
        return True
    if is_call(value, "relax.clip"):
        return float(value.args[1].value) >= 0
    if is_call(value, "relax.nn.max_pool2d") or is_call(value, "relax.reshape"):
        return _is_never_negative(graph, value.args[0])
    if is_call(value, "relax.concat") and isinstance(value.args[0], relax.Tuple):
        return all(_is_never_negative(graph, field) for field in value.args[0].fields)
    return False


def _rule(graph: Graph, name: str, value: Any) -> Any:
    is_pool = is_call(value, "relax.nn.max_pool2d")
    if not is_pool and not is_call(value, "relax.nn.conv2d"):
        return None
    attrs = value.attrs
    pad = graph.call_of(value.args[0], "relax.nn.pad")
    layout = attrs.layout if is_pool else attrs.data_layout
    if pad is None or layout != "NCHW" or (widths := _spatial_widths(pad)) is None:
        return None
    x, fill = pad.args[0], float(pad.attrs.pad_value)
    padding = [p + q for p, q in zip(widths, attrs.padding, strict=True)]
    if not is_pool:
        if fill != 0.0:
            return None
        return relax.op.nn.conv2d(
            x,
            value.args[1],
            attrs.strides,
            padding,
            attrs.dilation,
            attrs.groups,
            out_dtype=attrs.out_dtype,
        )
    reach = [(k - 1) * d + 1 for k, d in zip(attrs.pool_size, attrs.dilation, strict=True)]
    sees_pixel = all(n < size for n, size in zip(padding, reach * 2, strict=True))
    zeros_are_exact = fill == 0.0 and sees_pixel and _is_never_negative(graph, x)
    if attrs.ceil_mode or not (fill == -math.inf or zeros_are_exact):
        return None
    return relax.op.nn.max_pool2d(x, attrs.pool_size, attrs.strides, padding, attrs.dilation)


@tvm.transform.module_pass(opt_level=0, name="FoldPad")
def fold_pad(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Merge padding into the convolution or max pool that reads it."""
    return rewrite_bindings(module, _rule)
