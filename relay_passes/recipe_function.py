"""Recipe -> Relax function over parts of the network's constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.plan.box import Box, full_box
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.recipe import Apply, Crop, Join, Recipe
from lcp_tvm.relay_passes.rewrite import is_constant


def recipe_module(graph: NetworkGraph, recipes: Mapping[str, Recipe]) -> tvm.IRModule:
    """Return a module with a function for every recipe, under its name.

    Functions that read the same part of a constant share it.
    """
    constants = _Constants()
    return tvm.IRModule(
        {name: _function(graph, recipe, name, constants) for name, recipe in recipes.items()}
    )


class _Constants:
    """Parts of constants, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, Box], Any] = {}

    def part(self, constant: Constant, box: Box) -> Any:
        if box == full_box(constant.shape):
            return constant.expr
        key = (id(constant), box)
        if key not in self._made:
            data = constant.expr.value.numpy()[tuple(slice(*side) for side in box)]
            self._made[key] = relax.const(np.ascontiguousarray(data), constant.dtype)
        return self._made[key]


def _function(
    graph: NetworkGraph, recipe: Recipe, name: str, constants: _Constants
) -> relax.Function:
    builder = relax.BlockBuilder()
    params = [
        relax.Var(f"x{number}" if number else "x", _type(tensor))
        for number, tensor in enumerate(recipe.args)
    ]
    values: list[Any] = list(params)
    bindings = []
    names: dict[str, int] = {}

    def bind(expr: Any, label: str) -> Any:
        count = names[label] = names.get(label, 0) + 1
        value = builder.normalize(expr)
        var = relax.DataflowVar(label if count == 1 else f"{label}_{count}", value.ty)
        bindings.append(relax.VarBinding(var, value))
        return var

    for step in recipe.steps:
        if isinstance(step, Apply):
            node = graph.nodes[step.node]
            values.append(bind(_apply(node, step, values, constants), node.name))
        elif isinstance(step, Crop):
            begin = [low for low, _ in step.box]
            end = [high for _, high in step.box]
            expr = R.strided_slice(values[step.value], list(range(len(begin))), begin, end)
            values.append(bind(expr, "crop"))
        elif isinstance(step, Join):
            parts = [values[value] for value in step.values]
            values.append(bind(R.concat(parts, axis=step.axis), "join"))
        else:
            total = values[step.values[0]]
            for value in step.values[1:]:
                total = bind(R.add(total, values[value]), "sum")
            values.append(total)

    outputs: list[Any] = []
    for number in recipe.results:
        output = relax.Var(f"result_{len(outputs)}" if outputs else "result", values[number].ty)
        bindings.append(relax.VarBinding(output, values[number]))
        outputs.append(output)
    body = outputs[0] if len(outputs) == 1 else relax.Tuple(outputs)
    result = outputs[0].ty if len(outputs) == 1 else relax.TupleType([v.ty for v in outputs])
    sequence = relax.SeqExpr([relax.DataflowBlock(bindings)], body)
    function = relax.Function(params, sequence, result)
    return builder.normalize(function).with_attr("global_symbol", name)


def _type(tensor: Tensor) -> relax.TensorType:
    return relax.TensorType(tensor.shape, tensor.dtype)


def _apply(node: Node, step: Apply, values: list[Any], constants: _Constants) -> Any:
    tensors = []
    for operand, value in zip(node.operands, step.operands, strict=True):
        if isinstance(value, int):
            tensors.append(values[value])
        elif value is not None and isinstance(operand, Constant):
            tensors.append(constants.part(operand, value))
    call = node.call
    attrs = call.attrs
    if node.op in ("reshape", "flatten"):
        return R.reshape(tensors[0], step.result.shape)
    if node.op == "concat":
        return R.concat(tensors, axis=int(attrs.axis))
    if node.op == "nn.conv2d":
        weight = tensors[1].ty.shape
        return R.nn.conv2d(
            *tensors,
            strides=list(attrs.strides),
            padding=list(step.padding or attrs.padding),
            dilation=list(attrs.dilation),
            groups=int(tensors[0].ty.shape[1]) // int(weight[1]),
            out_dtype=attrs.out_dtype,
        )
    if step.padding is not None:
        pool = getattr(R.nn, node.op.removeprefix("nn."))
        return pool(
            tensors[0],
            pool_size=list(attrs.pool_size),
            strides=list(attrs.strides),
            dilation=list(attrs.dilation),
            padding=list(step.padding),
            count_include_pad=bool(attrs.count_include_pad),
        )
    remaining = iter(tensors)
    args = [_replaced(arg, remaining) for arg in call.args]
    return relax.Call(call.op, args, attrs, call.ty_args)


def _replaced(arg: Any, tensors: Any) -> Any:
    """Return a call's argument with the next tensors in its tensors' places."""
    if isinstance(arg, relax.Tuple):
        return relax.Tuple([_replaced(field, tensors) for field in arg.fields])
    return next(tensors) if isinstance(arg, relax.Var) or is_constant(arg) else arg
