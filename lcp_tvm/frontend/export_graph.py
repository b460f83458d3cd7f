"""The ONNX graph under construction: nodes, initializers and which Relax value is which tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import tvm
from onnx import numpy_helper
from tvm import relax

from lcp_tvm.errors import ModelError


def element_type(ty: Any) -> int:
    """ONNX's number for the element type of a Relax tensor type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(str(ty.dtype))))


def static_shape(ty: Any, name: str) -> tuple[int, ...]:
    """Shape of a Relax tensor type; a ModelError where it is not known at compile time."""
    if ty.shape is None or not all(isinstance(size, tvm.tirx.IntImm) for size in ty.shape):
        raise ModelError(f"cannot export {name}: its shape {ty.shape} is not static")
    return tuple(int(size) for size in ty.shape)


@dataclass(slots=True)
class GraphBuilder:
    """Collects the graph of one function.

    ``tensors`` maps the name of each Relax variable to (element type, shape), in order of
    computation; ``tuples`` holds the tensor names of variables that are tuples.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    tensors: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    tuples: dict[relax.Var, list[str]] = field(default_factory=dict)
    _names: dict[relax.Var, str] = field(default_factory=dict)
    _fresh: int = 0

    def bind(self, var: relax.Var, name: str) -> None:
        """Record that ``var`` is the tensor ``name``."""
        if name in self.tensors:
            raise ModelError(f"cannot export {name}: main has two variables of that name")
        self._names[var] = name
        self.tensors[name] = element_type(var.ty), static_shape(var.ty, name)

    def bind_result(self, var: relax.Var, result: str) -> None:
        """Make ``result`` the value of ``var``, under the variable's own name."""
        if result != var.name:
            self.node("Identity", [result], out=var.name)
        self.bind(var, var.name)

    def name_of(self, value: Any) -> str:
        """Tensor name of a variable or constant that is an operand."""
        if isinstance(value, tvm.ir.GenericConst):
            return self.constant(value.value.numpy())
        if value not in self._names:
            raise ModelError(f"cannot export operand {value}: not a tensor computed before")
        return self._names[value]

    def fresh(self, stem: str) -> str:
        """Return a name that no Relax variable has: those never contain a slash."""
        self._fresh += 1
        return f"{stem}/{self._fresh}"

    def constant(self, value: Any, dtype: str | None = None) -> str:
        """Add an initializer."""
        name = self.fresh("const")
        array = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op_type: str, inputs: list[str], *, out: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name; None attributes are left out."""
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [out], name=out, **kept))
        return out

    def keep_only(self, outputs: list[str]) -> None:
        """Drop nodes and initializers that none of ``outputs`` needs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.initializers = [tensor for tensor in self.initializers if tensor.name in needed]
