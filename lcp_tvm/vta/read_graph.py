"""A partitioned Relax function -> a graph of VTA layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import tvm
from tvm import relax

from lcp_tvm.vta.composite import Match, composites, operands
from lcp_tvm.vta.layer import Graph, Layer, Node


def read_graph(function: relax.Function, symbol: str) -> Graph:
    """A partitioned function as a graph of layers.

    Parameters
    ----------
    function : made by `partition_vta`: local composite functions and calls of them.
    symbol : name of the program.
    """
    shapes = {param.name: _shape(param.ty) for param in function.params}
    names = {param: param.name for param in function.params}
    local: dict[relax.Var, relax.Function] = {}
    nodes: list[Node] = []
    body = function.body.body
    for binding in (b for block in function.body.blocks for b in block.bindings):
        var, value = binding.var, binding.value
        if isinstance(value, relax.Function):
            local[var] = value
        elif isinstance(value, tvm.ir.Call):
            layer, inputs = _read_layer(local[value.op], [names[arg] for arg in value.args])
            names[var] = _unique(layer.name, shapes)
            shapes[names[var]] = _shape(var.ty)
            nodes.append(Node(replace(layer, name=names[var]), inputs, names[var]))
        elif isinstance(value, tvm.ir.Var):
            names[var] = names[value]
        elif isinstance(value, relax.Tuple):
            body = value
        else:
            raise TypeError(f"{symbol}: cannot read {value} in a VTA function")
    results = body.fields if isinstance(body, relax.Tuple) else [body]
    return Graph(
        symbol=symbol,
        shapes=shapes,
        inputs=tuple(param.name for param in function.params),
        outputs=tuple(names[result] for result in results),
        nodes=tuple(nodes),
    )


def _read_layer(function: relax.Function, args: Sequence[str]) -> tuple[Layer, tuple[str, ...]]:
    """Match a composite function against its pattern again; its layer and input tensors."""
    values = relax.analysis.get_var2val(function)
    result = function.body.body
    while isinstance(values.get(result), tvm.ir.Var):
        result = values[result]
    kind = str(function.attrs["Composite"])
    for composite in (c for c in composites() if c.name == kind):
        found = composite.pattern.extract_matched_expr(values[result], values)
        if found is None:
            continue
        match: Match = {
            name: found[part] for name, part in composite.parts.items() if part in found
        }
        bound = {value: var for var, value in values.items()}
        name = str(bound[match["anchor"]].name)
        # A function's result has lost its name; its kind says more than "gv".
        layer = composite.read(match, kind.partition(".")[2] if name.startswith("gv") else name)
        if layer is not None:
            by_param = dict(zip(function.params, args, strict=True))
            return layer, tuple(by_param[operand] for operand in operands(match))
    raise TypeError(f"composite function {kind} does not match its own pattern")


def _shape(ty: relax.TensorType) -> tuple[int, ...]:
    return tuple(int(size) for size in ty.shape)


def _unique(name: str, taken: Mapping[str, object]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    return candidate
