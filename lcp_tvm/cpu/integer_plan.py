"""Which operators of integer Relax become one kernel.

    conv2d -> add(b) -> add(left_shift(astype(skip), k)) -> right_shift -> clip -> astype(int8)
    =>  one kernel: sums of products, and the steps bias, add, shift, clip

A chain begins at sums, or at a map that becomes int32, and ends with the int8 map that it makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tvm import relax

from lcp_tvm.cpu.block_plan import PICTURE_CHANNELS, per_channel
from lcp_tvm.cpu.dataflow import Dataflow
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.relay_passes.rewrite import is_constant, short_name

Head = Literal["conv", "dense", "sum", "map", "quantise"]
_MAP = 4  # dimensions of a map


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Operators that are one kernel.

    Attributes
    ----------
    head : what the steps begin with: sums of products, sums over a map, the map itself; or
        float32 numbers that are quantised, with one step "multiply".
    call : that computes it.
    data : the map that is read.
    last : the int8 variable that the kernel computes.
    steps : in order; ``operands`` of them are int32 constants ("bias") and int8 maps ("add").
    """

    head: Head
    call: relax.Call
    data: relax.Var
    last: relax.Var
    steps: tuple[Step, ...]
    operands: tuple[Any, ...]


def plan_integers(
    flow: Dataflow, lanes: int
) -> tuple[Mapping[relax.Var, Chain], frozenset[relax.Var]]:
    """Return chains by the variable they end with, and the variables inside of them.

    Parameters
    ----------
    lanes : channels of a block.
    """
    return _Planner(flow, lanes).plan()


class _Planner:
    def __init__(self, flow: Dataflow, lanes: int) -> None:
        self._flow, self._values, self._lanes = flow, flow.values, lanes
        self._claimed: set[relax.Var] = set()

    def plan(self) -> tuple[Mapping[relax.Var, Chain], frozenset[relax.Var]]:
        """See `plan_integers`."""
        chains: dict[relax.Var, Chain] = {}
        # Sums of products first, and the later of two that are added takes the sum along.
        products = [var for var in reversed(self._values) if self._head(var) in ("conv", "dense")]
        others = [var for var in self._values if self._head(var) not in ("conv", "dense", None)]
        for var in (*products, *others):
            chain = self._chain(var) if var not in self._claimed else None
            if chain is not None:
                chains[chain.last] = chain
        return chains, frozenset(self._claimed - set(chains))

    def _head(self, var: relax.Var) -> Head | None:
        """Say what a chain that begins with a variable begins with."""
        call = self._values[var]
        name = short_name(call)
        if name == "conv2d":
            return "conv" if self._is_conv(call) else None
        if name == "matmul":
            return "dense" if _is_dense(call) else None
        if name == "sum" and self._is_sum(call):
            return "sum"
        if name == "astype" and _kind(call) == ("int32", _MAP) and _is_map(call.args[0]):
            return "map"
        if name == "multiply" and _kind(call) == ("float32", _MAP):
            few = int(call.ty.shape[1]) <= PICTURE_CHANNELS and isinstance(call.args[0], relax.Var)
            return "quantise" if few and _scalar(call.args[1]) is not None else None
        return None

    def _is_conv(self, call: relax.Call) -> bool:
        data, weight = call.args
        if not (_is_map(data) and is_constant(weight) and str(weight.value.dtype) == "int8"):
            return False
        attrs = call.attrs
        if (attrs.data_layout, attrs.kernel_layout) != ("NCHW", "OIHW"):
            return False
        groups, out, inputs = int(attrs.groups), *map(int, weight.value.shape[:2])
        whole = inputs % self._lanes == 0 and (out // groups) % self._lanes == 0
        return _kind(call)[0] == "int32" and (
            groups == 1 or (inputs == 1 and out == groups) or whole
        )

    def _is_sum(self, call: relax.Call) -> bool:
        axes = call.attrs.axis
        inner: Any = self._values.get(call.args[0])
        return (
            _kind(call) == ("int32", _MAP)
            and axes is not None
            and [int(axis) for axis in axes] == [2, 3]
            and short_name(inner) == "astype"
            and _is_map(inner.args[0])
        )

    def _chain(self, first: relax.Var) -> Chain | None:
        """Return what begins with a variable, if it ends with int8, and claim it."""
        head, call = self._head(first), self._values[first]
        assert head is not None
        if head == "quantise":
            return self._quantisation(first)
        data = call.args[0]
        claimed, steps, operands = [first], list[Step](), list[Any]()
        if head == "sum":
            claimed.append(data)
            data = self._values[data].args[0]
        for var, step, operand in self._steps(first, claimed):
            if step is None:
                self._claimed |= set(claimed)
                return Chain(head, call, data, var, tuple(steps), tuple(operands))
            steps.append(step)
            operands += [] if operand is None else [operand]
        return None

    def _quantisation(self, first: relax.Var) -> Chain | None:
        """x -> multiply -> round -> clip(-128, 127) -> astype(int8)"""
        chain = [first]
        for name in ("round", "clip", "astype"):
            reader = self._reader(chain[-1])
            if reader is None or short_name(self._values[reader]) != name:
                return None
            chain.append(reader)
        clip, last = self._values[chain[2]], chain[3]
        if _bounds(clip) != (-128, 127) or _kind(self._values[last])[0] != "int8":
            return None
        self._claimed |= set(chain)
        call = self._values[first]
        step = Step("multiply", (_scalar(call.args[1]) or 0.0,))
        return Chain("quantise", call, call.args[0], last, (step,), ())

    def _reader(self, var: relax.Var) -> relax.Var | None:
        reader = self._flow.reader_of(var)
        return None if reader in self._claimed else reader

    def _steps(
        self, last: relax.Var, claimed: list[relax.Var]
    ) -> Iterator[tuple[relax.Var, Step | None, Any]]:
        """Give the steps on a variable, at the end None at the int8 variable; claim them."""
        while True:
            leak = self._leak(last)
            if leak is not None:
                inside, step = leak
                claimed += inside
                last = inside[-1]
                yield last, step, None
                continue
            reader = self._reader(last)
            if reader is None:
                return
            value = self._values[reader]
            if short_name(value) == "astype" and _kind(value)[0] == "int8":
                claimed.append(reader)
                yield reader, None, None
                return
            found = self._step_on(value, last, claimed)
            if found is None:
                return
            claimed.append(reader)
            last = reader
            yield last, *found

    def _step_on(
        self, value: Any, data: relax.Var, claimed: list[relax.Var]
    ) -> tuple[Step, Any] | None:
        """Return what an operator does to ``data``, and the other operand."""
        name = short_name(value)
        if name == "clip":
            return Step("clip", _bounds(value)), None
        if name not in ("add", "multiply", "right_shift", "left_shift"):
            return None
        left, right = value.args
        other = right if left.same_as(data) else left
        number = _scalar(other)
        if name != "add":
            if number is None or not left.same_as(data):
                return None
            if name == "multiply":
                return Step("multiply", (number,)), None
            return Step("shift", (number if name == "right_shift" else -number,)), None
        if is_constant(other):
            return (Step("bias"), other) if per_channel(other, data) else None
        return self._added_map(other, data, claimed)

    def _added_map(
        self, other: relax.Var, data: relax.Var, claimed: list[relax.Var]
    ) -> tuple[Step, Any] | None:
        """add(data, left_shift(astype(map, int32), k))"""
        inside, places = [other], 0.0
        value: Any = self._values.get(other)
        if short_name(value) == "left_shift" and _scalar(value.args[1]) is not None:
            places = _scalar(value.args[1]) or 0.0
            inside.append(value.args[0])
            value = self._values.get(value.args[0])
        if short_name(value) != "astype" or not _is_map(value.args[0]) or other.same_as(data):
            return None
        if list(other.ty.shape) != list(data.ty.shape):
            return None
        if not any(one in claimed or one in self._claimed for one in inside):
            claimed += [one for one in inside if len(self._flow.readers_of(one)) == 1]
        return Step("add", (places,)), value.args[0]

    def _leak(self, data: relax.Var) -> tuple[list[relax.Var], Step] | None:
        """maximum(right_shift(add(multiply(data, m), c), k), data)"""
        readers = self._flow.readers_of(data)
        if len(readers) != 2 or None in readers:
            return None
        product = next(
            (one for one in readers if short_name(self._values[one]) == "multiply"), None
        )
        if product is None:
            return None
        chain, numbers = [product], [_scalar(self._values[product].args[1])]
        for name in ("add", "right_shift", "maximum"):
            reader = self._reader(chain[-1])
            if reader is None or short_name(self._values[reader]) != name:
                return None
            chain.append(reader)
            numbers += [] if name == "maximum" else [_scalar(self._values[reader].args[1])]
        if chain[-1] not in readers or None in numbers:
            return None
        return chain, Step("leaky_relu", tuple(number or 0.0 for number in numbers))


def _kind(call: relax.Call) -> tuple[str, int]:
    """Return a value's dtype and dimensions."""
    return str(call.ty.dtype), len(call.ty.shape)


def _is_map(value: Any) -> bool:
    return isinstance(value, relax.Var) and _kind(value) == ("int8", _MAP)


def _is_dense(call: relax.Call) -> bool:
    data, weight = call.args
    if not (isinstance(data, relax.Var) and is_constant(weight)):
        return False
    both = [str(data.ty.dtype), str(weight.value.dtype)]
    ranks = {len(data.ty.shape), len(weight.value.shape)}
    return both == ["int8", "int8"] and ranks == {2} and _kind(call)[0] == "int32"


def _scalar(value: Any) -> float | None:
    """Return the number of a constant that has one."""
    if not is_constant(value) or math.prod(map(int, value.value.shape)) != 1:
        return None
    return float(value.value.numpy().reshape(-1)[0])


def _bounds(clip: relax.Call) -> tuple[float, float]:
    low, high = (float(arg.value) for arg in clip.args[1:3])
    return low, high
