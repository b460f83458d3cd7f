"""Integer Relax -> the same with everything VTA can run gathered in `Codegen="vta"` functions.

lv1 = conv2d(x, w); lv2 = add(lv1, b); ...; lv5 = astype(lv4, int8); lv6 = softmax(...)
=>  lv5 = vta_0(x); lv6 = softmax(...)          vta_0: one composite function a layer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm.relax.backend.utils import has_leaking_intermediate_variables
from tvm.relax.transform import (
    FuseOpsByPattern,
    FusionPattern,
    MergeCompositeFunctions,
    PatternCheckContext,
)

from lcp_tvm.vta.composite import Composite, Match, composites, operands
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Concat, Layer
from lcp_tvm.vta.support import refusal

_PARTS_OF_OTHERS = frozenset(
    f"relax.{name}"
    for name in (
        "add", "astype", "clip", "dequantize", "divide", "flatten", "left_shift", "multiply",
        "nn.pad", "quantize", "reshape", "right_shift", "round", "strided_slice", "subtract",
    )
)  # fmt: skip
"""Cheap operators that come with another one and need no reason of their own."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partitioned module, and one line for every operator that stays on the CPU."""

    module: tvm.IRModule
    reasons: tuple[str, ...]


def partition_vta(module: tvm.IRModule, config: VtaConfig, prefix: str = "") -> Partition:
    """Gather what VTA can run into functions ``vta_0``, ``vta_1``, ... in order of use.

    Parameters
    ----------
    module : integer Relax, see docs/architecture.md.
    config : the accelerator whose limits count.
    prefix : what the names of the functions begin with.
    """
    refusals: dict[str, str] = {}
    patterns = [_fusion_pattern(composite, config, refusals) for composite in composites()]
    module = FuseOpsByPattern(patterns, bind_constants=True, annotate_codegen=False)(module)
    module = _without_unused(MergeCompositeFunctions()(module))
    for index, var in enumerate(_calls_in_order(module)):
        module.update_func(var, module[var].with_attr("global_symbol", f"{prefix}vta_{index}"))
    return Partition(module, _reasons(module, refusals))


def _fusion_pattern(
    composite: Composite, config: VtaConfig, refusals: dict[str, str]
) -> FusionPattern:
    def check(context: PatternCheckContext) -> bool:
        if has_leaking_intermediate_variables(context):
            return False  # of what is fused only the result is stored
        match: Match = dict(context.annotated_expr)
        name = _bound_name(context, match["anchor"])
        layer = composite.read(match, name)
        if layer is None:
            return False
        reason = refusal(layer, config) or _outside(layer, match, context)
        if reason is not None:
            refusals[name] = reason
        return reason is None

    return FusionPattern(composite.name, composite.pattern, composite.parts, check)


def _outside(layer: Layer, match: Match, context: PatternCheckContext) -> str | None:
    """Why a concatenation is none of VTA's: no layer there stores a part of it."""
    if not isinstance(layer, Concat):
        return None
    values = {var: value for value, var in context.value_to_bound_var.items()}
    pending = operands(match)
    while pending:
        value = values.get(pending.pop())
        if isinstance(value, tvm.ir.Call) and isinstance(value.op, tvm.ir.GlobalVar):
            return None
        if value is not None and _is_call(value, "relax.concat"):
            pending.extend(value.args[0].fields)
    return "all that it concatenates comes from outside VTA"


def _bound_name(context: PatternCheckContext, expr: relax.Expr) -> str:
    var = context.value_to_bound_var.get(expr)
    return str(var.name) if var is not None else "layer"


def _without_unused(module: tvm.IRModule) -> tvm.IRModule:
    return relax.transform.DeadCodeElimination(["main"])(module)


def _bindings(module: tvm.IRModule) -> list[relax.Binding]:
    return [binding for block in module["main"].body.blocks for binding in block.bindings]


def _calls_in_order(module: tvm.IRModule) -> list[tvm.ir.GlobalVar]:
    """Global functions with a ``Codegen`` attribute, in the order ``main`` calls them."""
    called: dict[tvm.ir.GlobalVar, None] = {}
    for binding in _bindings(module):
        value = binding.value
        if isinstance(value, tvm.ir.Call) and isinstance(value.op, tvm.ir.GlobalVar):
            attrs = module[value.op].attrs
            if attrs is not None and "Codegen" in attrs:
                called[value.op] = None
    return list(called)


def _reasons(module: tvm.IRModule, refusals: Mapping[str, str]) -> tuple[str, ...]:
    lines = []
    values = {binding.var: binding.value for binding in _bindings(module)}
    for binding in _bindings(module):
        value = binding.value
        if not isinstance(value, tvm.ir.Call) or not isinstance(value.op, tvm.ir.Op):
            continue
        operator, name = value.op.name.removeprefix("relax.").removeprefix("nn."), binding.var.name
        if (name not in refusals and _is_part(value)) or _folds_input(value, values):
            continue
        reason = refusals.get(name) or _general_reason(value)
        lines.append(f"{operator} {name}: on the CPU, {reason}")
    return tuple(lines)


def _is_part(call: relax.Call) -> bool:
    """Whether a call comes with another operator; float arithmetic of two tensors does not."""
    tensors = [arg for arg in call.args if isinstance(arg, tvm.ir.Var)]
    own = len(tensors) > 1 and all(str(arg.ty.dtype) == "float32" for arg in tensors)
    return call.op.name in _PARTS_OF_OTHERS and not own


def _folds_input(call: relax.Call, values: Mapping[relax.Var, relax.Expr]) -> bool:
    """A concat of slices, as `fold_input` makes them: part of packing the input."""
    return call.op.name == "relax.concat" and all(
        _is_call(values.get(field), "relax.strided_slice") for field in call.args[0].fields
    )


def _is_call(expr: relax.Expr | None, name: str) -> bool:
    return (
        isinstance(expr, tvm.ir.Call)
        and isinstance(expr.op, tvm.ir.Op)
        and bool(expr.op.name == name)
    )


def _general_reason(call: relax.Call) -> str:
    dtypes = {str(arg.ty.dtype) for arg in call.args if isinstance(arg.ty, relax.TensorType)}
    if "float32" in dtypes:
        return "it computes in float32"
    return "no VTA form of it (docs/supported_ops.md)"
