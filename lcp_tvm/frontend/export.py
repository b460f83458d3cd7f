"""Relax to ONNX, so that onnxruntime can evaluate a float module fast.

Calibration needs the values of intermediate variables and is slow in plain TVM; this is the
way around. Every Relax variable becomes an ONNX tensor of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import onnx
import tvm
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.export_graph import GraphBuilder, element_type, static_shape
from lcp_tvm.frontend.export_ops import CONVERTERS, TUPLE_CONVERTERS

OPSET = 18
IR_VERSION = 10  # what ONNX 1.16 wrote: every onnxruntime since 1.18 reads it


def to_onnx(
    module: tvm.IRModule, *, outputs: Sequence[str] | Literal["all"] | None = None
) -> onnx.ModelProto:
    """Export ``module["main"]``, which must be float Relax (with or without R.quantize).

    Parameters
    ----------
    module : one function ``main``, its body one block of calls on static shapes.
    outputs : names of Relax variables to return, in this order; "all" for every variable that
        holds one tensor, in order of computation; None for what ``main`` returns.

    Returns
    -------
    A model of opset 18. Inputs, outputs and nodes carry the names of the Relax variables.

    Raises
    ------
    ModelError : an operator or attribute that has no ONNX form here, or an unknown output name.
    """
    function = module["main"]
    graph = GraphBuilder()
    for parameter in function.params:
        graph.bind(parameter, parameter.name)
    for block in function.body.blocks:
        for binding in block.bindings:
            _convert(graph, binding.var, binding.value)

    if outputs is None:
        body = function.body.body
        fields = list(body.fields) if isinstance(body, relax.Tuple) else [body]
        names = [graph.name_of(field) for field in fields]
    elif outputs == "all":
        names = list(graph.tensors)
    else:
        names = list(outputs)
    for name in names:
        if name not in graph.tensors:
            raise ModelError(
                f"cannot export output {name!r}: main has no such variable; "
                f"it has {', '.join(list(graph.tensors)[:8])}, ..."
            )
    graph.keep_only(names)
    inputs = [
        onnx.helper.make_tensor_value_info(
            parameter.name, element_type(parameter.ty), static_shape(parameter.ty, parameter.name)
        )
        for parameter in function.params
    ]
    results = [onnx.helper.make_tensor_value_info(name, *graph.tensors[name]) for name in names]
    return onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "main", inputs, results, graph.initializers),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lcp-tvm",
    )


def _convert(graph: GraphBuilder, var: relax.Var, value: Any) -> None:
    """Add the nodes of one binding."""
    if isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op):
        name = value.op.name
        if name in CONVERTERS:
            result = CONVERTERS[name](graph, var.name, value)
            graph.bind_result(var, result)
            return
        if name in TUPLE_CONVERTERS:
            graph.tuples[var] = TUPLE_CONVERTERS[name](graph, var.name, value)
            return
        callee = f" of {value.args[0].name_hint}" if name == "relax.call_tir" else ""
        raise ModelError(
            f"cannot export {var.name} = {name}{callee}: this operator has no ONNX form here; "
            f"add a converter in lcp_tvm/frontend/export_ops.py"
        )
    if isinstance(value, relax.TupleGetItem) and value.tuple_value in graph.tuples:
        graph.bind_result(var, graph.tuples[value.tuple_value][value.index])
        return
    if isinstance(value, relax.Var | tvm.ir.GenericConst):
        graph.bind_result(var, graph.name_of(value))
        return
    raise ModelError(f"cannot export {var.name}: {type(value).__name__} is no call of an operator")
