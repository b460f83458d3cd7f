"""Give Clip and ReLU6 back their operators; the importer makes loops of them.

call_tir(maximum, x, c)                ->  maximum(x, c)
maximum(x, 0)                          ->  relu(x)
minimum(maximum(x, lo), hi)            ->  clip(x, lo, hi)
minimum(relu(x), hi)                   ->  clip(x, 0, hi)
maximum(x, -inf), minimum(x, inf)      ->  x
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import relax, topi

from lcp_tvm.relay_passes.channel import scalar_value
from lcp_tvm.relay_passes.prim_func import computes, nodes_of, prim_func_of
from lcp_tvm.relay_passes.rewrite import Graph, is_call, rewrite_bindings

_LOOPS = (
    ("maximum", topi.maximum, tvm.tirx.Max, relax.op.maximum),
    ("minimum", topi.minimum, tvm.tirx.Min, relax.op.minimum),
)


def _operator_of(graph: Graph, value: Any) -> Any:
    """Return ``maximum`` or ``minimum`` for a call of the loops that compute it."""
    for stem, compute, node, op in _LOOPS:
        function = prim_func_of(graph, value, stem)
        if function is None:
            continue
        args = list(value.args[1].fields)
        if len(args) == 2 and computes(function, compute, *args):
            return op(*args)
        # Clip of opset 10 and before has its bound written into the loop.
        if len(args) == 1:
            literals = [imm for found in nodes_of(function, node) for imm in (found.a, found.b)]
            for imm in literals:
                if isinstance(imm, tvm.tirx.FloatImm) and computes(
                    function, compute, args[0], imm.value
                ):
                    return op(args[0], relax.const(imm.value, str(imm.ty.dtype)))
    return None


def _bounds(graph: Graph, operand: Any) -> tuple[Any, float, float]:
    """Return (x, lo, hi) such that the operand is x limited to lo..hi."""
    value = graph.value_of(operand)
    if is_call(value, "relax.nn.relu"):
        return value.args[0], 0.0, math.inf
    if is_call(value, "relax.clip"):
        return value.args[0], float(value.args[1].value), float(value.args[2].value)
    for op, low in (("relax.maximum", True), ("relax.minimum", False)):
        if is_call(value, op) and (bound := scalar_value(value.args[1])) is not None:
            return value.args[0], *((bound, math.inf) if low else (-math.inf, bound))
    return operand, -math.inf, math.inf


def _limited(x: Any, lo: float, hi: float) -> Any:
    """Return the simplest operator that limits ``x`` to lo..hi."""
    dtype = str(x.ty.dtype)
    if lo == -math.inf and hi == math.inf:
        return x
    if lo == 0.0 and hi == math.inf:
        return relax.op.nn.relu(x)
    if hi == math.inf:
        return relax.op.maximum(x, relax.const(lo, dtype))
    if lo == -math.inf:
        return relax.op.minimum(x, relax.const(hi, dtype))
    return relax.op.clip(x, lo, hi)


def _rule(graph: Graph, name: str, value: Any) -> Any:
    found = _operator_of(graph, value)
    call = value if found is None else found
    if not (is_call(call, "relax.maximum") or is_call(call, "relax.minimum")):
        return None
    x, bound = call.args
    if (limit := scalar_value(x)) is not None:
        x, bound = bound, x
    elif (limit := scalar_value(bound)) is None:
        return found
    if "float" not in str(bound.ty.dtype) or math.isnan(limit):
        return found
    if len(bound.ty.shape) > len(x.ty.shape):
        return found  # the bound raises the rank of the result
    inner, lo, hi = _bounds(graph, x)
    if is_call(call, "relax.maximum"):
        lo, hi = max(lo, limit), max(hi, limit)
    else:
        lo, hi = min(lo, limit), min(hi, limit)
    return _limited(inner, lo, hi)


@tvm.transform.module_pass(opt_level=0, name="RecogniseClip")
def recognise_clip(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite maximum and minimum with scalar bounds to relu or clip."""
    return rewrite_bindings(module, _rule)
