"""Quantize/dequantize around float operators -> integer operators.

    dq(x) -> conv2d(dq(w)) -> add(b) -> relu -> q(f)
    =>  conv2d(x, w, out_dtype=int32) -> add(b') -> right_shift(s) -> clip(0, 127) -> astype(int8)

Scales must be powers of two with zero point 0. Each variable of the function is read as a value in
fixed point (``fixed_point.py``); an operator whose operands allow it computes on the integers, any
other gets its operands as floats. The result is the "Integer Relax" of docs/architecture.md: equal
to the float function wherever that is exact, with ties rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.body import Body
from lcp_tvm.relay_passes.fixed_point import (
    INT32_LIMIT,
    Accumulator,
    Fixed,
    Int8,
    Operand,
    Plain,
    Value,
    int32,
    refine,
    requantise,
    settle,
    widen,
)
from lcp_tvm.relay_passes.power_of_two import read_fraction_bits
from lcp_tvm.vta.layer import Slope


class _Lowering:
    """One function on its way: the values of its variables, and the block they go into."""

    def __init__(self, body: Body) -> None:
        self.emit = body.emit
        self._values: dict[relax.Var, Value] = {}
        self._floats: dict[relax.Var, relax.Expr] = {}

    def bind(self, var: relax.Var, value: Value) -> None:
        self._values[var] = value

    def value(self, expr: relax.Expr) -> Value:
        return self._values.get(expr, Plain(expr)) if isinstance(expr, tvm.ir.Var) else Plain(expr)

    def plain(self, expr: relax.Expr) -> relax.Expr:
        """``expr`` with every variable replaced by one of the type the original has."""
        if isinstance(expr, tvm.ir.Var):
            return self._plain_var(expr)
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self.plain(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self.plain(expr.tuple_value), expr.index)
        if isinstance(expr, tvm.ir.Call):
            args = [self.plain(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr

    def _plain_var(self, var: relax.Var) -> relax.Expr:
        value = self.value(var)
        if isinstance(value, Plain):
            return value.expr
        if isinstance(value, Int8) and dtype(var) == "int8":
            return value.expr
        if isinstance(value, Fixed):
            quantised = dtype(var) == str(value.data.dtype)
            return relax.const(value.data if quantised else value.real())
        if var not in self._floats:
            name = var.name
            if isinstance(value, Accumulator):
                value = settle(value, self.emit)
            real = self.emit(R.astype(value.expr, "float32"), f"{name}_float")
            scale = relax.const(2.0**-value.bits, "float32")
            self._floats[var] = self.emit(R.multiply(real, scale), f"{name}_real")
        return self._floats[var]

    def widened(self, value: Int8 | Accumulator) -> Accumulator:
        return widen(value, self.emit) if isinstance(value, Int8) else value

    def array(self, value: Value) -> NDArray[np.float64] | None:
        """The real numbers of a constant."""
        if isinstance(value, Fixed):
            return np.asarray(value.data, np.float64) * 2.0**-value.bits
        if isinstance(value, Plain) and isinstance(value.expr, tvm.ir.GenericConst):
            return np.asarray(value.expr.value.numpy(), np.float64)
        return None


def _quantize(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    value, name = low.value(call.args[0]), var.name
    bits = read_fraction_bits(call, name)
    if isinstance(value, Int8) and value.bits == bits:
        return value
    if (real := low.array(value)) is not None:
        scaled = np.rint(np.ldexp(real, bits))
        return Fixed(np.clip(scaled, -128, 127).astype(np.int8), bits)
    if isinstance(value, Int8 | Accumulator):
        return requantise(low.widened(value), bits, name, low.emit)
    expr = low.plain(call.args[0])
    expr = low.emit(R.multiply(expr, relax.const(2.0**bits, "float32")), f"{name}_scaled")
    expr = low.emit(R.round(expr), f"{name}_rounded")
    expr = low.emit(R.clip(expr, -128, 127), f"{name}_clip")
    return Int8(low.emit(R.astype(expr, "int8"), name), bits)


def _dequantize(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    value = low.value(call.args[0])
    bits = read_fraction_bits(call, var.name)
    if isinstance(value, Plain) and isinstance(value.expr, tvm.ir.GenericConst):
        return Fixed(value.expr.value.numpy(), bits)
    if isinstance(value, Plain):
        return Int8(value.expr, bits) if dtype(value.expr) == "int8" else None
    return replace(value, bits=bits)


def _conv2d(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    attrs, product = call.attrs, _product(low, call)
    if product is None or (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "OIHW"):
        return None
    data, weight = product
    expr = R.nn.conv2d(
        data.expr,
        relax.const(weight.data),
        strides=attrs.strides,
        padding=attrs.padding,
        dilation=attrs.dilation,
        groups=attrs.groups,
        out_dtype="int32",
    )
    magnitude = np.abs(weight.data.astype(np.int64)).sum(axis=(1, 2, 3)).reshape(1, -1, 1, 1)
    return Accumulator(
        expr=low.emit(expr, var.name),
        bits=data.bits + weight.bits,
        bound=128 * magnitude,
        bias=np.zeros(magnitude.shape, np.int64),
    )


def _conv2d_transpose(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    attrs, product = call.attrs, _product(low, call)
    if product is None or (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "IOHW"):
        return None
    data, weight = product
    expr = R.nn.conv2d_transpose(
        data.expr,
        relax.const(weight.data),
        strides=attrs.strides,
        padding=attrs.padding,
        output_padding=attrs.output_padding,
        dilation=attrs.dilation,
        groups=attrs.groups,
        out_dtype="int32",
    )
    # An output meets at most all kernel positions of its group's inputs.
    kernels = np.abs(weight.data.astype(np.int64)).sum(axis=(2, 3))
    magnitude = kernels.reshape(attrs.groups, -1, kernels.shape[1]).sum(axis=1)
    magnitude = magnitude.reshape(1, -1, 1, 1)
    return Accumulator(
        expr=low.emit(expr, var.name),
        bits=data.bits + weight.bits,
        bound=128 * magnitude,
        bias=np.zeros(magnitude.shape, np.int64),
    )


def _matmul(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    product = _product(low, call)
    if product is None or product[1].data.ndim != 2:
        return None
    data, weight = product
    expr = R.matmul(data.expr, relax.const(weight.data), out_dtype="int32")
    magnitude = np.abs(weight.data.astype(np.int64)).sum(axis=0)
    return Accumulator(
        expr=low.emit(expr, var.name),
        bits=data.bits + weight.bits,
        bound=128 * magnitude,
        bias=np.zeros(magnitude.shape, np.int64),
    )


def _product(low: _Lowering, call: relax.Call) -> tuple[Int8, Fixed] | None:
    """Data and weights of a convolution or dense layer, if both are int8."""
    data, weight = (low.value(arg) for arg in call.args)
    if isinstance(data, Int8) and isinstance(weight, Fixed) and weight.data.dtype == np.int8:
        return data, weight
    return None


def _add(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    left, right = (low.value(arg) for arg in call.args)
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Int8 | Accumulator) and (real := low.array(other)) is not None:
            return _add_constant(low, value, real, call)
    if not (isinstance(left, Int8 | Accumulator) and isinstance(right, Int8 | Accumulator)):
        return None
    if shape(call.args[0]) != shape(call.args[1]):
        return None
    if isinstance(left, Int8) and isinstance(right, Accumulator):
        left, right = right, left
    return _add_tensors(low, low.widened(left), low.widened(right))


def _add_tensors(low: _Lowering, acc: Accumulator, other: Accumulator) -> Value:
    bits = max(acc.bits, other.bits)
    if acc.activated:
        acc = settle(acc, low.emit)
    acc = refine(acc, bits, low.emit)
    other = refine(settle(other, low.emit), bits, low.emit)
    operand = Operand(other.expr, other.bound)
    if acc.bias is not None:
        return replace(acc, operands=(*acc.operands, operand))
    total = low.emit(R.add(acc.expr, operand.expr), "sum")
    return Accumulator(expr=total, bits=bits, bound=acc.bound + operand.bound)


def _add_constant(
    low: _Lowering, value: Int8 | Accumulator, real: NDArray[np.float64], call: relax.Call
) -> Value | None:
    """A bias. An int8 tensor takes one only if that is exact in its own fraction bits."""
    scaled = np.ldexp(real, value.bits)
    if isinstance(value, Int8) and np.any(scaled != np.rint(scaled)):
        return None
    acc = low.widened(value)
    if acc.activated or acc.operands:
        acc = settle(acc, low.emit)
    before = np.zeros((), np.int64) if acc.bias is None else acc.bias
    rounded = np.floor(scaled + 0.5)
    if np.max(np.abs(rounded), initial=0) >= INT32_LIMIT:
        raise ModelError(
            f"layer {call.args[0]}: its bias reaches {np.max(np.abs(rounded)):.0f} in the "
            f"accumulator's {acc.bits} fraction bits, 32 bits hold {INT32_LIMIT - 1}; give its "
            "weights or its input a coarser scale"
        )
    bias = before + rounded.astype(np.int64)
    if acc.bias is not None and bias.shape != acc.bias.shape:
        if bias.size != acc.bias.size:
            return None
        bias = bias.reshape(acc.bias.shape)
    if np.broadcast_shapes(bias.shape, shape(acc.expr)) != shape(acc.expr):
        return None
    return replace(acc, bias=bias)


def _relu(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    return _clamp(low, call, var, 0.0, math.inf)


def _clip(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    return _clamp(low, call, var, float(call.args[1].value), float(call.args[2].value))


def _clamp(
    low: _Lowering, call: relax.Call, var: relax.Var, least: float, most: float
) -> Value | None:
    value = low.value(call.args[0])
    if not isinstance(value, Int8 | Accumulator):
        return None
    acc = low.widened(value)
    acc = replace(acc, low=min(max(acc.low, least), most), high=min(max(acc.high, least), most))
    if isinstance(value, Int8) and all(
        math.isinf(bound) or math.ldexp(bound, value.bits).is_integer() for bound in (least, most)
    ):
        return requantise(acc, value.bits, var.name, low.emit)
    return acc


def _leaky_relu(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    value, slope = low.value(call.args[0]), nearest_slope(float(call.attrs.alpha))
    if slope is None or not isinstance(value, Int8 | Accumulator):
        return None
    acc = low.widened(value)
    if acc.activated:
        acc = settle(acc, low.emit)
    return replace(acc, slope=slope)


def nearest_slope(alpha: float) -> Slope | None:
    """The slope of least terms that changes no int8 number by a whole step, of those the nearest.

    Every term beyond the first is a shift and an addition. None where ``alpha`` is not between
    0 and 1: then leaky ReLU is not the larger of a number and its product.
    """
    if not 0 < alpha < 1:
        return None
    errors = {
        (factor, shift): abs(factor * 2.0**-shift - alpha)
        for factor, shift in product(range(1, 32, 2), range(1, 13))
    }
    near = [slope for slope, error in errors.items() if 128 * error < 1]
    factor, shift = min(near, key=lambda slope: (slope[0].bit_count(), errors[slope]))
    return Slope(factor, shift, 1 << shift - 1)


def _mean(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    """Global average pooling: the mean's 1/(H*W) becomes m * 2**-k with m of seven bits."""
    value = low.value(call.args[0])
    if not isinstance(value, Int8) or len(shape(value.expr)) != 4:
        return None
    if sorted(int(axis) % 4 for axis in call.attrs.axis or ()) != [2, 3]:
        return None
    count = math.prod(shape(value.expr)[2:])
    factor, extra = reciprocal(count)
    bound = 128 * count * factor
    if bound >= INT32_LIMIT:
        return None
    name = var.name
    acc = widen(value, low.emit)
    total = low.emit(R.sum(acc.expr, axis=[2, 3], keepdims=call.attrs.keepdims), f"{name}_sum")
    expr = low.emit(R.multiply(total, int32(factor)), name)
    return Accumulator(expr=expr, bits=value.bits + extra, bound=np.asarray(bound, np.int64))


def reciprocal(count: int) -> tuple[int, int]:
    """The ``m`` in 64..127 and ``k`` for which ``m * 2**-k`` is closest to ``1 / count``."""
    extra = 6 + math.ceil(math.log2(count))
    factor = round(2**extra / count)
    return (factor, extra) if factor < 128 else (64, extra - 1)


def _max_pool2d(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    return _move(low, call, var) if call.attrs.layout == "NCHW" else None


def _move(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    """Operators that choose among their input's numbers work on any integers alike."""
    value = low.value(call.args[0])
    if isinstance(value, Fixed):
        return _move_constant(value, call)
    if isinstance(value, Accumulator):
        value = settle(value, low.emit)
    if not isinstance(value, Int8 | Accumulator):
        return None
    moved = relax.Call(call.op, [value.expr, *call.args[1:]], call.attrs, call.ty_args)
    expr = low.emit(moved, var.name)
    if isinstance(value, Int8):
        return Int8(expr, value.bits)
    return Accumulator(expr=expr, bits=value.bits, bound=np.asarray(np.max(value.bound)))


def _move_constant(value: Fixed, call: relax.Call) -> Value | None:
    """A quantised weight that the model stores reshaped or transposed."""
    if call.op.name == "relax.permute_dims":
        axes = None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
        return Fixed(np.ascontiguousarray(np.transpose(value.data, axes)), value.bits)
    if call.op.name == "relax.reshape":
        return Fixed(value.data.reshape([int(size) for size in call.args[1].values]), value.bits)
    return None


def _concat(low: _Lowering, call: relax.Call, var: relax.Var) -> Value | None:
    if not isinstance(call.args[0], relax.Tuple):
        return None
    fields = [low.value(field) for field in call.args[0].fields]
    values = [value for value in fields if isinstance(value, Int8 | Accumulator)]
    if len(values) != len(fields):
        return None
    name, axis = var.name, call.attrs.axis
    if all(isinstance(value, Int8) for value in values) and len({v.bits for v in values}) == 1:
        expr = low.emit(R.concat([value.expr for value in values], axis=axis), name)
        return Int8(expr, values[0].bits)
    accs = [settle(low.widened(value), low.emit) for value in values]
    bits = max(acc.bits for acc in accs)
    accs = [refine(acc, bits, low.emit) for acc in accs]
    expr = low.emit(R.concat([acc.expr for acc in accs], axis=axis), name)
    bound = np.asarray(max(int(np.max(acc.bound)) for acc in accs), np.int64)
    return Accumulator(expr=expr, bits=bits, bound=bound)


_Rule = Callable[[_Lowering, relax.Call, relax.Var], Value | None]

# A rule gives the value of the call, or None where it has to be computed in float.
_RULES: dict[str, _Rule] = {
    "relax.quantize": _quantize,
    "relax.dequantize": _dequantize,
    "relax.nn.conv2d": _conv2d,
    "relax.nn.conv2d_transpose": _conv2d_transpose,
    "relax.matmul": _matmul,
    "relax.add": _add,
    "relax.nn.relu": _relu,
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.clip": _clip,
    "relax.mean": _mean,
    "relax.nn.max_pool2d": _max_pool2d,
    "relax.reshape": _move,
    "relax.squeeze": _move,
    "relax.expand_dims": _move,
    "relax.flatten": _move,
    "relax.permute_dims": _move,
    "relax.strided_slice": _move,
    "relax.concat": _concat,
}


def _lower_binding(low: _Lowering, binding: relax.Binding) -> Value:
    if not isinstance(binding, relax.VarBinding) or isinstance(binding.value, relax.If):
        raise ModelError(
            f"tensor {binding.var.name}: control flow or a shape known only at run time "
            "cannot be compiled; export the model with fixed shapes and without conditions"
        )
    expr, var = binding.value, binding.var
    if isinstance(expr, tvm.ir.Var):
        return low.value(expr)
    if isinstance(expr, tvm.ir.GenericConst):
        return Plain(expr)
    if isinstance(expr, tvm.ir.Call) and isinstance(expr.op, tvm.ir.Op):
        rule = _RULES.get(expr.op.name)
        value = rule(low, expr, var) if rule else None
        if value is not None:
            return value
    return Plain(low.emit(low.plain(expr), var.name))


def shape(expr: relax.Expr) -> tuple[int, ...]:
    return tuple(int(size) for size in expr.ty.shape)


def dtype(expr: relax.Expr) -> str:
    return str(getattr(expr.ty, "dtype", ""))


def lower_qdq(module: tvm.IRModule) -> tvm.IRModule:
    """Turn ``main`` from QDQ Relax into integer Relax; other functions stay as they are.

    Raises
    ------
    ModelError
        If a scale is not a power of two or a zero point not 0 (naming the tensor), or if an
        accumulator could leave 32 bits.
    """
    func = module["main"]
    body = Body(func)
    low = _Lowering(body)
    for block in func.body.blocks:
        for binding in block.bindings:
            low.bind(binding.var, _lower_binding(low, binding))
    return body.into(module, low.plain(func.body.body))
