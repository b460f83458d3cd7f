"""The torch form of each Relax operator.

A builder gets the name of the binding and its call, and returns what computes it: a function of the
call's tensors, tuples opened. Attributes and shapes are read once, here. The first axis of every
tensor is the batch, of any size although Relax says 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tvm import relax

from lcp_tvm.quantise.graph import op_name, shape_of
from lcp_tvm.relay_passes.power_of_two import read_fraction_bits
from lcp_tvm.relay_passes.rewrite import is_constant
from lcp_tvm.train.attributes import axis_of, ints, refusal, require, sides_of
from lcp_tvm.train.fake_quantise import fake_quantise
from lcp_tvm.train.products import SUMS, Sum
from lcp_tvm.train.resize import interpolation

Function = Callable[..., Any]
"""Tensors to a tensor, or to a tuple of them."""

_MAP = 4  # axes of a map

Builder = Callable[[str, relax.Call], Function]

BROADCASTING = frozenset(
    ("add", "broadcast_to", "divide", "matmul", "maximum", "minimum", "multiply", "power",
     "subtract", "where")
)  # fmt: skip
"""Operators that give operands of fewer axes new ones in front."""


CHANNEL_BY_CHANNEL = frozenset(
    ("add", "clip", "flatten", "maximum", "minimum", "multiply", "nn.adaptive_avg_pool2d",
     "nn.avg_pool2d", "nn.leakyrelu", "nn.max_pool2d", "nn.relu", "nn.silu", "reshape", "sigmoid",
     "subtract", "tanh")
)  # fmt: skip
"""Operators that do the same with each channel; of reshapes those that flatten."""


def kind_of(call: relax.Call) -> Hashable:
    """Return what calls have in common that can be computed side by side; None cannot be."""
    op = op_name(call)
    if op not in CHANNEL_BY_CHANNEL or any(map(is_constant, call.args)):
        return None
    shapes = [tuple(shape_of(arg)) for arg in call.args if isinstance(arg, relax.Var)]
    if op in ("flatten", "reshape") and not (len(shapes[0]) == _MAP and len(shape_of(call)) == 2):
        return None
    if len(set(shapes)) > 1:
        return None
    rest = [str(arg) for arg in call.args if not isinstance(arg, relax.Var)]
    return op, str(call.attrs), tuple(rest), shapes[0]


def build(name: str, call: relax.Call) -> Function:
    """Return the torch form of a call.

    Raises
    ------
    ModelError
        The operator, or an attribute of it, has no torch form here.
    """
    builder = _BUILDERS.get(op_name(call))
    if builder is None:
        raise refusal(name, call, "this operator has no torch form here")
    return builder(name, call)


def _same(function: Function) -> Builder:
    """For operators without attributes."""
    return lambda _name, _call: function


def _without_bias(make: Callable[[str, relax.Call], Sum]) -> Builder:
    def builder(name: str, call: relax.Call) -> Function:
        compute = make(name, call)
        return lambda x, w: compute(x, w, None)

    return builder


def _window(name: str, call: relax.Call, layout: str) -> tuple[tuple[int, ...], ...]:
    """Kernel, strides, dilation and pads; with these, floor mode gives a ceil-mode result."""
    require(name, call, "layout", (layout,))
    attrs = call.attrs
    kernel, strides, dilation = (
        ints(attrs.pool_size), ints(attrs.strides), ints(attrs.dilation)
    )  # fmt: skip
    pads, rank = list(ints(attrs.padding)), len(kernel)
    sizes, results = shape_of(call.args[0])[2:], shape_of(call)[2:]
    for axis in range(rank):
        reach = (results[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        pads[rank + axis] = max(pads[rank + axis], reach - sizes[axis] - pads[axis])
    return kernel, strides, dilation, tuple(pads)


def _native(kernel: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether torch's pools can pad so themselves: alike on both sides, at most half a kernel."""
    rank = len(kernel)
    begins, ends = pads[:rank], pads[rank:]
    return begins == ends and all(2 * p <= k for p, k in zip(begins, kernel, strict=True))


def _max_pool2d(name: str, call: relax.Call) -> Function:
    kernel, strides, dilation, pads = _window(name, call, "NCHW")
    if _native(kernel, pads):
        both = pads[:2]
        return lambda x: F.max_pool2d(x, kernel, strides, both, dilation)
    sides = sides_of(pads)
    return lambda x: F.max_pool2d(F.pad(x, sides, value=-math.inf), kernel, strides, 0, dilation)


def _avg_pool(pool: Function, layout: str) -> Builder:
    def builder(name: str, call: relax.Call) -> Function:
        kernel, strides, dilation, pads = _window(name, call, layout)
        if any(step != 1 for step in dilation):
            raise refusal(name, call, f"dilation is {list(dilation)}, only 1 is supported")
        whole = bool(call.attrs.count_include_pad)
        if whole and pads != ints(call.attrs.padding):
            raise refusal(name, call, "ceil_mode with count_include_pad has no agreed meaning")
        if _native(kernel, pads):
            both = pads[: len(kernel)]
            return lambda x: pool(x, kernel, strides, both, False, whole)
        sides = sides_of(pads)
        if whole:
            return lambda x: pool(F.pad(x, sides), kernel, strides)

        def average(x: torch.Tensor) -> torch.Tensor:
            inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), sides)
            total, count = pool(F.pad(x, sides), kernel, strides), pool(inside, kernel, strides)
            return torch.div(total, count)

        return average

    return builder


def _adaptive_avg_pool2d(name: str, call: relax.Call) -> Function:
    require(name, call, "layout", ("NCHW",))
    rows, columns = shape_of(call)[2:]
    return lambda x: F.adaptive_avg_pool2d(x, (rows, columns))


def _pad(name: str, call: relax.Call) -> Function:
    require(name, call, "pad_mode", ("constant",))
    width, value = ints(call.attrs.pad_width), float(call.attrs.pad_value)
    if any(width[:2]):
        raise refusal(name, call, "it works along the batch")
    sides = sides_of((*width[2::2], *width[3::2]))
    return lambda x: F.pad(x, sides, value=value)


def _resize2d(name: str, call: relax.Call) -> Function:
    require(name, call, "layout", ("NCHW",))
    require(name, call, "method", ("nearest_neighbor", "linear"))
    attrs = call.attrs
    mode = str(attrs.coordinate_transformation_mode)
    rounding = str(attrs.rounding_method) if str(attrs.method) == "nearest_neighbor" else None
    try:
        rows, columns = (
            torch.from_numpy(interpolation(size, result, mode, rounding))
            for size, result in zip(shape_of(call.args[0])[2:], shape_of(call)[2:], strict=True)
        )
    except ValueError as error:
        raise refusal(name, call, str(error)) from error
    columns = columns.T.contiguous()
    return lambda x: rows.to(x) @ x @ columns.to(x)


def _reshape(name: str, call: relax.Call) -> Function:
    """Any operator that keeps the elements in order: the result's shape says it all."""
    sizes = shape_of(call)[1:]
    if len(sizes) == 1:
        return lambda x: x.flatten(1)
    return lambda x: x.reshape(x.shape[0], *sizes)


def _broadcast_to(name: str, call: relax.Call) -> Function:
    sizes = shape_of(call)[1:]
    return lambda x: x.expand(-1, *sizes)


def _permute_dims(name: str, call: relax.Call) -> Function:
    rank = len(shape_of(call))
    axes = tuple(reversed(range(rank))) if call.attrs.axes is None else ints(call.attrs.axes)
    axes = tuple(axis % rank for axis in axes)
    if axes[0] != 0:
        raise refusal(name, call, "it moves the batch")
    return lambda x: x.permute(axes)


def _concat(name: str, call: relax.Call) -> Function:
    axis = axis_of(name, call)
    return lambda *parts: torch.cat(parts, axis)


def _stack(name: str, call: relax.Call) -> Function:
    axis = axis_of(name, call)
    return lambda *parts: torch.stack(parts, axis)


def _split(name: str, call: relax.Call) -> Function:
    axis = axis_of(name, call)
    sizes = [int(part.shape[axis]) for part in call.ty.fields]
    return lambda x: torch.split(x, sizes, axis)


def _strided_slice(name: str, call: relax.Call) -> Function:
    bounds = [ints(arg.fields) for arg in call.args[1:]]
    rank, (axes, begin, end) = len(shape_of(call)), bounds[:3]
    steps = bounds[3] if len(bounds) > 3 else (1,) * len(axes)
    if any(step < 1 for step in steps):
        raise refusal(name, call, f"steps are {list(steps)}, only forward ones are supported")
    cut = [slice(None)] * rank
    for axis, start, stop, step in zip(axes, begin, end, steps, strict=True):
        if axis % rank == 0:
            raise refusal(name, call, "it works along the batch")
        cut[axis % rank] = slice(start, stop, step)
    index = tuple(cut)
    return lambda x: x[index]


def _reduce(function: Function) -> Builder:
    def builder(name: str, call: relax.Call) -> Function:
        rank, keep = len(shape_of(call.args[0])), bool(call.attrs.keepdims)
        axes = range(rank) if call.attrs.axis is None else ints(call.attrs.axis)
        axes = tuple(axis % rank for axis in axes)
        if 0 in axes:
            raise refusal(name, call, "it works along the batch")
        return lambda x: function(x, axes, keep)

    return builder


def _clip(name: str, call: relax.Call) -> Function:
    low, high = (float(bound.value) for bound in call.args[1:3])
    return lambda x: torch.clamp(x, low, high)


def _leaky_relu(name: str, call: relax.Call) -> Function:
    alpha = float(call.attrs.alpha)
    return lambda x: F.leaky_relu(x, alpha)


def _prelu(name: str, call: relax.Call) -> Function:
    axis = axis_of(name, call)
    if axis == 1:
        return F.prelu
    return lambda x, slope: F.prelu(x.movedim(axis, 1), slope).movedim(1, axis)


def _softplus(name: str, call: relax.Call) -> Function:
    beta, threshold = float(call.attrs.beta), float(call.attrs.threshold)
    return lambda x: F.softplus(x, beta, threshold)


def _softmax(function: Function) -> Builder:
    def builder(name: str, call: relax.Call) -> Function:
        axis = axis_of(name, call)
        return lambda x: function(x, axis)

    return builder


def _astype(name: str, call: relax.Call) -> Function:
    dtype = getattr(torch, str(np.dtype(str(call.ty.dtype))))
    return lambda x: x.to(dtype)


def _batch_norm(name: str, call: relax.Call) -> Function:
    attrs, epsilon = call.attrs, float(call.attrs.epsilon)
    if bool(attrs.training) or int(attrs.axis) != 1:
        raise refusal(name, call, "only inference on axis 1 is supported")
    return lambda x, gamma, beta, mean, variance: (
        F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon), mean, variance
    )  # fmt: skip


def _quantize(name: str, call: relax.Call) -> Function:
    bits = read_fraction_bits(call, name)
    return lambda x, _scale, _zero: fake_quantise(x, bits) * 2.0**bits


def _dequantize(name: str, call: relax.Call) -> Function:
    bits = read_fraction_bits(call, name)
    return lambda q, _scale, _zero: q * 2.0**-bits


_BUILDERS: dict[str, Builder] = {
    **{op: _without_bias(make) for op, make in SUMS.items()},
    "abs": _same(torch.abs),
    "add": _same(torch.add),
    "astype": _astype,
    "broadcast_to": _broadcast_to,
    "ceil": _same(torch.ceil),
    "clip": _clip,
    "concat": _concat,
    "dequantize": _dequantize,
    "divide": _same(torch.div),
    "erf": _same(torch.erf),
    "exp": _same(torch.exp),
    "expand_dims": _reshape,
    "flatten": _reshape,
    "floor": _same(torch.floor),
    "image.resize2d": _resize2d,
    "log": _same(torch.log),
    "max": _reduce(torch.amax),
    "maximum": _same(torch.maximum),
    "mean": _reduce(torch.mean),
    "min": _reduce(torch.amin),
    "minimum": _same(torch.minimum),
    "multiply": _same(torch.mul),
    "negative": _same(torch.neg),
    "nn.adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "nn.avg_pool2d": _avg_pool(F.avg_pool2d, "NCHW"),
    "nn.avg_pool3d": _avg_pool(F.avg_pool3d, "NCDHW"),
    "nn.batch_norm": _batch_norm,
    "nn.dropout": _same(lambda x: (x,)),  # inference: nothing is dropped
    "nn.leakyrelu": _leaky_relu,
    "nn.log_softmax": _softmax(F.log_softmax),
    "nn.max_pool2d": _max_pool2d,
    "nn.pad": _pad,
    "nn.prelu": _prelu,
    "nn.relu": _same(F.relu),
    "nn.silu": _same(F.silu),
    "nn.softmax": _softmax(F.softmax),
    "nn.softplus": _softplus,
    "permute_dims": _permute_dims,
    "power": _same(torch.pow),
    "quantize": _quantize,
    "reshape": _reshape,
    "round": _same(torch.round),  # half to even, as Relax
    "rsqrt": _same(torch.rsqrt),
    "sigmoid": _same(torch.sigmoid),
    "split": _split,
    "sqrt": _same(torch.sqrt),
    "square": _same(torch.square),
    "squeeze": _reshape,
    "stack": _stack,
    "strided_slice": _strided_slice,
    "subtract": _same(torch.sub),
    "sum": _reduce(torch.sum),
    "tanh": _same(torch.tanh),
    "where": _same(torch.where),
}
