"""A straight-line Relax ``main`` as nodes that can be asked for parts of what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Box, full_box
from lcp_tvm.relay_passes.rewrite import is_constant, operands_of, straight_line


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """An operand that holds its data; its name is that of its first reader, and its place there."""

    name: str
    expr: Any
    shape: tuple[int, ...]
    dtype: str


Operand = int | Constant
"""A node by its number, or a constant."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A tensor: an input of the network or the result of one operator.

    Attributes
    ----------
    name : of the variable, made unique.
    op : the operator's name without "relax.", or "input".
    operands : the tensors it reads, in the order of the call, tuples opened.
    call : the Relax call; None for an input.
    """

    index: int
    name: str
    op: str
    operands: tuple[Operand, ...]
    call: Any
    shape: tuple[int, ...]
    dtype: str

    @property
    def box(self) -> Box:
        """All of it."""
        return full_box(self.shape)

    @property
    def is_anchor(self) -> bool:
        """Whether it is a layer of its own: a convolution, dense layer or pool."""
        return self.op in ANCHORS


ANCHORS = frozenset(
    (
        "nn.conv2d", "nn.conv2d_transpose", "matmul", "nn.max_pool2d", "nn.avg_pool2d", "mean",
        "sum",
    )
)  # fmt: skip
"""Operators that papers count as layers; what follows up to the next one belongs to them."""


GLOBAL = frozenset(("mean", "sum", "max", "nn.softmax"))
"""Operators that may need all rows and columns of a map."""


def _ends_maps(node: Node) -> bool:
    """Whether a node has no rows and columns left, or needs all of them."""
    flattens = node.op in ("reshape", "flatten") and len(node.shape) < 4
    return flattens or (node.op in GLOBAL and len(node.shape) == 4)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkGraph:
    """Nodes in an order of computation."""

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    users: tuple[tuple[int, ...], ...]

    def cuts(self) -> tuple[int, ...]:
        """Return the nodes through which everything passes, in order, from input to output.

        Before such a node nothing is computed that is read or returned after it, except the node
        itself.
        """
        found, farthest = [], 0
        returned = set(self.outputs).difference(self.inputs)
        for node in self.nodes:
            if farthest <= node.index:
                found.append(node.index)
            beyond = [len(self.nodes)] if node.index in returned else []
            farthest = max([farthest, *self.users[node.index], *beyond])
        return tuple(found)

    def layer_ends(self) -> tuple[int, ...]:
        """Return the cuts that end a layer: the last one before the next layer or the maps' end.

        The first has no layer before it: it is the input, or what quantising makes of it.
        """
        cuts = self.cuts()
        ends: dict[int, int] = {}
        for cut, after in zip(cuts, (*cuts[1:], None), strict=True):
            between = self.nodes[cut + 1 : after + 1] if after is not None else ()
            if after is None or any(n.is_anchor or _ends_maps(n) for n in between):
                ends.setdefault(self.layers_before(cut), cut)
        return tuple(ends.values())

    def layers_before(self, end: int) -> int:
        """Count the convolutions, dense layers and pools up to node ``end``."""
        return sum(node.is_anchor for node in self.nodes[: end + 1])


def read_graph(module: tvm.IRModule) -> NetworkGraph:
    """Read ``main``.

    Parameters
    ----------
    module : float or integer Relax with constant weights and static shapes.

    Raises
    ------
    PlanError
        A value is no tensor of known shape.
    ModelError
        The network has control flow.
    """
    main, bindings = straight_line(module)
    nodes: list[Node] = []
    numbers: dict[Any, int] = {}
    constants: dict[Any, Constant] = {}
    names: set[str] = set()

    def constant(expr: Any, name: str) -> Constant:
        if expr not in constants:
            shape = tuple(int(size) for size in expr.value.shape)
            constants[expr] = Constant(name, expr, shape, str(expr.value.dtype))
        return constants[expr]

    def add(var: Any, op: str, operands: Sequence[Operand], call: Any) -> None:
        shape, dtype = _tensor_type(var)
        name = var.name if var.name not in names else f"{var.name}#{len(nodes)}"
        names.add(name)
        numbers[var] = len(nodes)
        nodes.append(Node(len(nodes), name, op, tuple(operands), call, shape, dtype))

    for param in main.params:
        add(param, "input", (), None)
    for binding in bindings:
        value = binding.value
        if isinstance(value, relax.Var) and value in numbers:
            numbers[binding.var] = numbers[value]
            continue
        if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.Op):
            raise PlanError(
                f"{binding.var.name}: a {type(value).__name__} cannot be split; "
                "export the model with plain operators"
            )
        operands = [
            constant(leaf, f"{binding.var.name}.{place}") if is_constant(leaf) else numbers[leaf]
            for place, leaf in enumerate(operands_of(value))
        ]
        add(binding.var, value.op.name.removeprefix("relax."), operands, value)
    users: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        for operand in node.operands:
            if isinstance(operand, int) and node.index not in users[operand]:
                users[operand].append(node.index)
    results = operands_of(main.body.body)
    return NetworkGraph(
        tuple(nodes),
        tuple(range(len(main.params))),
        tuple(numbers[result] for result in results),
        tuple(map(tuple, users)),
    )


def _tensor_type(var: Any) -> tuple[tuple[int, ...], str]:
    kind = var.ty
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        raise PlanError(f"{var.name}: is no tensor of known shape; such networks cannot be split")
    try:
        return tuple(int(size) for size in kind.shape), str(kind.dtype)
    except TypeError as error:
        raise PlanError(
            f"{var.name}: its shape {kind.shape} is not known; fix the sizes"
        ) from error
