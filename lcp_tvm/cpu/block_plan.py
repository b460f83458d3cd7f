"""Which values of a function lie in blocks, and which operators become one kernel.

    conv -> add(bias) -> add(skip) -> relu -> max_pool -> mean
    =>  [conv, add, add, relu] one kernel, blocked;  max_pool blocked;  mean reads blocks

A convolution takes along what is done to each of its sums alone, as long as nobody else reads what
is in between. Blocks begin at convolutions and go on through what can work on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm import relax

from lcp_tvm.cpu.dataflow import Dataflow
from lcp_tvm.cpu.epilogue import Kind, Step
from lcp_tvm.relay_passes.rewrite import is_constant, operands_of, short_name

PICTURE_CHANNELS = 4
"""Maps of so few channels are read as they are: blocks of them would be mostly empty."""

_POOLS = ("max_pool2d", "avg_pool2d")
_MAP = 4  # dimensions of a map


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """A binding and what follows it in the same kernel.

    Attributes
    ----------
    call : the first operator: conv2d, or of a kernel without one the data.
    last : the variable that the kernel computes.
    steps : what is done to the elements; ``operands`` of them are expressions, in order.
    """

    call: relax.Call
    last: relax.Var
    steps: tuple[Step, ...]
    operands: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan:
    """What becomes of each binding, by the variable it binds.

    Attributes
    ----------
    fused : kernels of a convolution, or elementwise ones, at the variable they end with.
    inside : variables that only exist inside of a kernel.
    blocked : variables that lie in blocks.
    pooled : of convolutions' results that only a max pool reads, whose windows lie side by side,
        the pool's result and its window.
    """

    fused: Mapping[relax.Var, Fused]
    inside: frozenset[relax.Var]
    blocked: frozenset[relax.Var]
    pooled: Mapping[relax.Var, tuple[relax.Var, tuple[int, int]]]


def plan_blocks(flow: Dataflow, lanes: int) -> BlockPlan:
    """Decide for the bindings of a function, in blocks of so many channels."""
    return _Planner(flow, lanes).plan()


class _Planner:
    def __init__(self, flow: Dataflow, lanes: int) -> None:
        self._flow, self._lanes = flow, lanes
        self._claimed: set[relax.Var] = set()

    def plan(self) -> BlockPlan:
        # The later of two convolutions that are added takes the sum along.
        chains = [
            self._chain(var, value)
            for var, value in reversed(self._flow.values.items())
            if self.is_conv(value) or self.is_dense(value)
        ]
        fused = {chain.last: chain for chain in chains}
        inside = frozenset(self._claimed - set(fused))
        blocked: set[relax.Var] = set()
        for var, value in self._flow.values.items():
            if var in fused:
                if self.is_conv(fused[var].call):
                    blocked.add(var)
            elif var not in inside and self._goes_on(value, blocked):
                blocked.add(var)
                step = self._step(value, blocked)
                if step is not None:
                    data, kind, operands = step
                    fused[var] = Fused(value, var, (kind,), (data, *operands))
        convs = [chain.last for chain in chains if self.is_conv(chain.call)]
        pooled = {var: found for var in convs if (found := self._pool_of(var, blocked))}
        return BlockPlan(fused, inside, frozenset(blocked), pooled)

    def _pool_of(
        self, var: relax.Var, blocked: set[relax.Var]
    ) -> tuple[relax.Var, tuple[int, int]] | None:
        """Return the max pool that alone reads a variable, each element at most once."""
        reader = self._flow.reader_of(var)
        if reader is None or reader not in blocked:
            return None
        value = self._flow.values[reader]
        if short_name(value) != "max_pool2d":
            return None
        high, wide = map(int, value.attrs.pool_size)
        have = [int(size) for size in var.ty.shape]
        rows, columns = (int(size) for size in list(value.ty.shape)[2:])
        beside = list(map(int, value.attrs.strides)) == [high, wide]
        padded = any(map(int, value.attrs.padding))
        fits = rows * high <= have[2] and columns * wide <= have[3]
        return (reader, (high, wide)) if beside and fits and not padded else None

    def is_conv(self, value: Any) -> bool:
        """Say whether a convolution has a kernel of ours."""
        if short_name(value) != "conv2d" or not _of_constant(value):
            return False
        attrs, weight = value.attrs, value.args[1].value
        if (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "OIHW"):
            return False
        if str(value.ty.dtype) != "float32" or str(weight.dtype) != "float32":
            return False
        groups, out, inputs = int(attrs.groups), int(weight.shape[0]), int(weight.shape[1])
        whole = inputs % self._lanes == 0 and (out // groups) % self._lanes == 0
        return groups == 1 or (inputs == 1 and out == groups) or whole

    def is_dense(self, value: Any) -> bool:
        """Say whether a matrix product has a kernel of ours."""
        if short_name(value) != "matmul" or not _of_constant(value):
            return False
        ranks = {len(arg.ty.shape) for arg in value.args}
        return ranks == {2} and str(value.ty.dtype) == "float32"

    def _chain(self, first: relax.Var, call: relax.Call) -> Fused:
        self._claimed.add(first)
        last, steps, operands = first, [], []
        while True:
            reader = self._flow.reader_of(last)
            if reader is None or reader in self._claimed:
                break
            found = self._step_on(self._flow.values[reader], last)
            if found is None:
                break
            last = reader
            self._claimed.add(last)
            steps.append(found[0])
            operands += found[1]
        return Fused(call, last, tuple(steps), tuple(operands))

    def _step_on(self, value: Any, data: relax.Var) -> tuple[Step, list[Any]] | None:
        """Return what an operator does to ``data``, and the other operand."""
        name = short_name(value)
        if name == "relu":
            return Step("relu"), []
        if name == "clip":
            bounds = [float(arg.value) for arg in value.args[1:3]]
            return Step("clip", tuple(bounds)), []
        if name == "leakyrelu":
            return Step("leaky_relu", (float(value.attrs.alpha),)), []
        if name not in ("add", "multiply"):
            return None
        others = [arg for arg in value.args if not arg.same_as(data)]
        if len(others) != 1:
            return None
        other, shape = others[0], [int(size) for size in data.ty.shape]
        if is_constant(other):
            kind: Kind = "bias" if name == "add" else "scale"
            return (Step(kind), [other]) if per_channel(other, data) else None
        is_map = len(shape) == _MAP
        if name == "add" and is_map and [int(size) for size in other.ty.shape] == shape:
            return Step("add"), [other]
        return None

    def _step(self, value: Any, blocked: set[relax.Var]) -> tuple[Any, Step, list[Any]] | None:
        """Return an elementwise operator as a step on one of its operands, which is blocked."""
        for operand in operands_of(value):
            if isinstance(operand, relax.Var) and operand in blocked:
                found = self._step_on(value, operand)
                if found is not None:
                    return operand, found[0], found[1]
        return None

    def _goes_on(self, value: Any, blocked: set[relax.Var]) -> bool:
        """Say whether an operator has a kernel that reads blocks and writes blocks."""
        operands = operands_of(value)
        variables = [one for one in operands if isinstance(one, relax.Var)]
        if not variables or not all(one in blocked for one in variables):
            return False
        name = short_name(value)
        if name in _POOLS:
            attrs = value.attrs
            return attrs.layout == "NCHW" and all(int(one) == 1 for one in attrs.dilation)
        if name == "concat":
            whole = all(int(one.ty.shape[1]) % self._lanes == 0 for one in operands)
            return int(value.attrs.axis) == 1 and whole and len(variables) == len(operands)
        return self._step(value, blocked) is not None


def per_channel(constant: Any, data: relax.Var) -> bool:
    """Say whether a constant has a number for all, or one for each channel."""
    shape = [int(size) for size in data.ty.shape]
    sizes = [int(size) for size in constant.value.shape]
    aligned = [1] * (len(shape) - len(sizes)) + sizes
    ones = [1] * (len(shape) - 2)
    return aligned in ([1, shape[1], *ones], [1, 1, *ones])


def _of_constant(call: relax.Call) -> bool:
    """Say whether a call multiplies what is computed by a constant."""
    data, weight = call.args
    return isinstance(data, relax.Var) and is_constant(weight)
