"""A float Relax function seen as layers: what belongs together, and who reads whom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.body import Body

Array = NDArray[np.float32]

ACTIVATIONS = frozenset({"nn.relu", "clip", "nn.leakyrelu"})
"""Operators that a layer's accumulator can do before it becomes int8."""

_KERNEL_LAYOUTS = {"nn.conv2d": "OIHW", "nn.conv2d_transpose": "IOHW"}


@dataclass(frozen=True, slots=True)
class Layer:
    """``product -> bias [-> add(skip)] [-> relu | clip]``; names are those of Relax variables."""

    name: str  # the variable of the convolution or matrix product
    op: Literal["conv2d", "conv2d_transpose", "dense"]
    data: str
    weight: Array  # OIHW, of a transposed convolution too, or [K, N] of a dense layer
    bias: Array  # one per output channel
    bias_name: str  # the variable of the sum with the bias
    groups: int
    skip: str | None
    output: str  # the last variable of the chain
    phases: int = 1  # an output meets one in so many kernel positions

    @property
    def argument(self) -> Array:
        """The weight as the operator takes it."""
        return _swapped(self.weight, self.groups) if self.op == "conv2d_transpose" else self.weight

    @property
    def depthwise(self) -> bool:
        return self.op == "conv2d" and self.groups > 1 and self.weight.shape[1] == 1


@dataclass(frozen=True, slots=True)
class Graph:
    """The bindings of ``main`` in order, and views of them. Every name is unique."""

    input: str
    bindings: Mapping[str, relax.Expr]
    readers: Mapping[str, tuple[str, ...]]
    outputs: frozenset[str]  # results of the function
    layers: tuple[Layer, ...]

    def op(self, name: str) -> str:
        """The operator that makes the variable, or "" where none does."""
        return op_name(self.bindings.get(name))

    def operands(self, name: str) -> tuple[str, ...]:
        """Names of the variables that the binding reads."""
        return variables(self.bindings[name])

    def sole_reader(self, name: str) -> str | None:
        """The only binding that reads the variable, unless it is also a result."""
        readers = self.readers.get(name, ())
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def op_name(expr: relax.Expr | None) -> str:
    if isinstance(expr, tvm.ir.Call) and isinstance(expr.op, tvm.ir.Op):
        return str(expr.op.name).removeprefix("relax.")
    return ""


def variables(expr: relax.Expr) -> tuple[str, ...]:
    """Names of the variables in an expression, left to right."""
    if isinstance(expr, tvm.ir.Var):
        return (expr.name,)
    if isinstance(expr, relax.Tuple):
        return tuple(name for field in expr.fields for name in variables(field))
    if isinstance(expr, relax.TupleGetItem):
        return variables(expr.tuple_value)
    if isinstance(expr, tvm.ir.Call):
        return tuple(name for arg in expr.args for name in variables(arg))
    return ()


def constant(expr: relax.Expr) -> Array | None:
    """A float constant's numbers."""
    if isinstance(expr, tvm.ir.GenericConst) and str(expr.ty.dtype) == "float32":
        return np.asarray(expr.value.numpy(), np.float32)
    return None


def shape_of(expr: relax.Expr) -> tuple[int, ...]:
    return tuple(int(size) for size in expr.ty.shape)


Emit = Callable[[relax.Expr, str], relax.Expr]
"""Binds an expression to a new variable of about that name, and gives the variable back."""

Rewrite = Callable[[str, relax.Expr, Emit], relax.Expr]
"""(name, expression, emit) -> what the variable becomes; ``emit`` binds new variables first."""


def rebuild(
    module: tvm.IRModule, rewrite: Rewrite, on_input: Rewrite | None = None
) -> tvm.IRModule:
    """``main`` with every binding passed through ``rewrite``; names are kept and made unique."""
    func = module["main"]
    body = Body(func)
    new: dict[relax.Var, relax.Expr] = {}

    def renamed(expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, tvm.ir.Var):
            return new.get(expr, expr)
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([renamed(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(renamed(expr.tuple_value), expr.index)
        if isinstance(expr, tvm.ir.Call):
            args = [renamed(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr

    for param in func.params:
        if on_input is not None:
            new[param] = on_input(param.name, param, body.emit)
    for block in func.body.blocks:
        for binding in block.bindings:
            if not isinstance(binding, relax.VarBinding):
                raise ModelError(
                    f"tensor {binding.var.name}: its shape is known only at run time; export the "
                    "model with fixed shapes"
                )
            name, expr = binding.var.name, renamed(binding.value)
            alias = isinstance(expr, tvm.ir.Var | tvm.ir.GenericConst | relax.Tuple)
            new[binding.var] = expr if alias else rewrite(name, expr, body.emit)
    return body.into(module, renamed(func.body.body))


def with_biases(module: tvm.IRModule) -> tvm.IRModule:
    """Every convolution and dense layer followed by the sum with a constant bias."""
    biased = {layer.name for layer in _layers_with_bias(_bindings(module), _readers(module))}

    def rewrite(name: str, expr: relax.Expr, emit: Emit) -> relax.Expr:
        var = emit(expr, name)
        if name in biased or not is_product(expr):
            return var
        size = shape_of(expr)[1]
        bias_shape = (size,) if op_name(expr) == "matmul" else (1, size, 1, 1)
        zero = relax.const(np.zeros(bias_shape, np.float32))
        return emit(R.add(var, zero), f"{name}_bias")

    return rebuild(module, rewrite)


def is_product(expr: relax.Expr) -> bool:
    """A convolution or dense layer with constant weights, of the kind that integers can do."""
    op = op_name(expr)
    if op in _KERNEL_LAYOUTS:
        layouts = (expr.attrs.data_layout, expr.attrs.kernel_layout)
        return layouts == ("NCHW", _KERNEL_LAYOUTS[op]) and constant(expr.args[1]) is not None
    if op == "matmul":
        weight = constant(expr.args[1])
        return weight is not None and weight.ndim == 2 and len(shape_of(expr)) == 2
    return False


def read_graph(module: tvm.IRModule) -> Graph:
    """The view of a module in which every layer has a bias (see :func:`with_biases`)."""
    func = module["main"]
    bindings, readers = _bindings(module), _readers(module)
    outputs = frozenset(variables(func.body.body))
    graph = Graph(func.params[0].name, bindings, readers, outputs, ())
    layers = tuple(_layers_with_bias(bindings, readers))
    last = {layer.name: position for position, layer in enumerate(layers)}
    chains = {layer.bias_name: last[layer.name] for layer in layers}
    return replace(graph, layers=tuple(_extend(graph, layer, chains) for layer in layers))


def _bindings(module: tvm.IRModule) -> dict[str, relax.Expr]:
    blocks = module["main"].body.blocks
    return {binding.var.name: binding.value for block in blocks for binding in block.bindings}


def _readers(module: tvm.IRModule) -> dict[str, tuple[str, ...]]:
    readers: dict[str, tuple[str, ...]] = {}
    for name, expr in _bindings(module).items():
        for operand in variables(expr):
            readers[operand] = (*readers.get(operand, ()), name)
    return readers


def _layers_with_bias(
    bindings: Mapping[str, relax.Expr], readers: Mapping[str, tuple[str, ...]]
) -> list[Layer]:
    layers = []
    for name, expr in bindings.items():
        if not is_product(expr) or len(readers.get(name, ())) != 1:
            continue
        bias_name = readers[name][0]
        bias = _bias(bindings[bias_name], channels=shape_of(expr)[1])
        weight = constant(expr.args[1])
        if bias is None or weight is None or not isinstance(expr.args[0], tvm.ir.Var):
            continue
        data = expr.args[0].name
        layer = Layer(name, "dense", data, weight, bias, bias_name, 1, None, bias_name)
        if op_name(expr) in _KERNEL_LAYOUTS:
            layer = replace(layer, op="conv2d", groups=int(expr.attrs.groups))
        if op_name(expr) == "nn.conv2d_transpose":
            layer = replace(
                layer,
                op="conv2d_transpose",
                weight=_swapped(weight, layer.groups),
                phases=math.prod(int(stride) for stride in expr.attrs.strides),
            )
        layers.append(layer)
    return layers


def _swapped(weight: Array, groups: int) -> Array:
    """``[I, O / groups, kh, kw]`` as ``[O, I / groups, kh, kw]``, and back."""
    first, second, *kernel = weight.shape
    split = weight.reshape(groups, first // groups, second, *kernel).swapaxes(1, 2)
    return np.ascontiguousarray(split.reshape(groups * second, first // groups, *kernel))


def _bias(expr: relax.Expr, channels: int) -> Array | None:
    if op_name(expr) != "add":
        return None
    for arg in expr.args:
        value = constant(arg)
        if value is not None and value.size in (1, channels):
            rank = len(shape_of(expr))
            aligned = value.reshape((1,) * (rank - value.ndim) + value.shape)
            if aligned.shape[1] == value.size:
                return np.broadcast_to(value.reshape(-1), (channels,)).copy()
    return None


def _extend(graph: Graph, layer: Layer, chains: Mapping[str, int]) -> Layer:
    """Follow the layer's only reader through a residual add and an activation."""
    reader = graph.sole_reader(layer.output)
    if reader is not None and graph.op(reader) == "add":
        skip = _skip(graph, reader, layer.output, chains)
        if skip is not None:
            layer = replace(layer, skip=skip, output=reader)
            reader = graph.sole_reader(reader)
    if reader is not None and graph.op(reader) in ACTIVATIONS:
        layer = replace(layer, output=reader)
    return layer


def _skip(graph: Graph, add: str, own: str, chains: Mapping[str, int]) -> str | None:
    """The other operand, unless it is the one of two convolutions that fuses: the later one."""
    operands = graph.operands(add)
    if len(operands) != 2 or operands[0] == operands[1]:
        return None
    left, right = (shape_of(arg) for arg in graph.bindings[add].args)
    if left != right:
        return None
    other = operands[1] if operands[0] == own else operands[0]
    fuses = other in chains and graph.sole_reader(other) == add
    return None if fuses and chains[other] > chains[own] else other
