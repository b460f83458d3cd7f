"""Puts layers' parameters back into a module, in float or with quantize/dequantize pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.quantise.calibrate import Array
from lcp_tvm.quantise.formats import Formats
from lcp_tvm.quantise.graph import Emit, Graph, Layer, constant, rebuild
from lcp_tvm.quantise.points import Points
from lcp_tvm.quantise.threshold import quantise_array

QUANTISED, DEQUANTISED = "_q", "_dq"  # suffixes of the variables that a pair adds


def with_parameters(
    module: tvm.IRModule, layers: Mapping[str, Layer], clips: Mapping[str, float] | None = None
) -> tvm.IRModule:
    """The float module with the weights and biases of ``layers`` and the clips' upper bounds."""
    bounds = clips or {}
    biases = {layer.bias_name: layer for layer in layers.values()}

    def rewrite(name: str, expr: relax.Expr, emit: Emit) -> relax.Expr:
        if name in layers:
            expr = _replace_argument(expr, 1, relax.const(layers[name].argument))
        elif name in biases:
            expr = _with_bias(expr, biases[name], biases[name].bias)
        elif name in bounds:
            expr = R.clip(expr.args[0], 0.0, bounds[name])
        return emit(expr, name)

    return rebuild(module, rewrite)


def annotate(module: tvm.IRModule, graph: Graph, points: Points, formats: Formats) -> tvm.IRModule:
    """QDQ Relax: int8 weights, biases on the accumulators' grid, a pair at every point.

    The parameters are those of ``graph.layers``. A variable ``v`` that gets a pair becomes
    ``v_q`` (int8) and ``v_dq`` (float).
    """
    layers = {layer.name: layer for layer in graph.layers}
    biases = {layer.bias_name: layer for layer in graph.layers}
    quantised = set(points.quantised)

    def pair(name: str, var: relax.Expr, emit: Emit) -> relax.Expr:
        if name not in quantised:
            return var
        scale, zero = _scale(formats.tensors[name]), relax.const(0, "int8")
        narrow = emit(R.quantize(var, scale, zero, out_dtype="int8"), name + QUANTISED)
        return emit(R.dequantize(narrow, scale, zero), name + DEQUANTISED)

    def rewrite(name: str, expr: relax.Expr, emit: Emit) -> relax.Expr:
        if name in layers:
            bits = formats.weights[name]
            weight = relax.const(quantise_array(layers[name].argument, bits))
            real = R.dequantize(weight, _scale(bits), relax.const(0, "int8"))
            expr = _replace_argument(expr, 1, emit(real, f"{name}_weight"))
        elif name in biases:
            layer = biases[name]
            expr = _with_bias(expr, layer, on_grid(layer.bias, formats.accumulator(layer)))
        return pair(name, emit(expr, name), emit)

    return rebuild(module, rewrite, on_input=pair)


def on_grid(values: Array, bits: int) -> Array:
    """The nearest numbers with ``bits`` fraction bits."""
    scaled = np.floor(np.ldexp(values.astype(np.float64), bits) + 0.5)
    return np.ldexp(scaled, -bits).astype(np.float32)


def _scale(bits: int) -> relax.Expr:
    return relax.const(2.0**-bits, "float32")


def _replace_argument(call: relax.Call, index: int, new: relax.Expr) -> relax.Call:
    args = [new if position == index else arg for position, arg in enumerate(call.args)]
    return relax.Call(call.op, args, call.attrs, call.ty_args)


def _with_bias(add: relax.Call, layer: Layer, bias: Array) -> relax.Call:
    index = 0 if constant(add.args[0]) is not None else 1
    shape = (-1,) if layer.op == "dense" else (1, -1, 1, 1)
    return _replace_argument(add, index, relax.const(bias.reshape(shape)))
