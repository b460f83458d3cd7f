"""Functions over kernels: what passes that choose kernels have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import tvm
from tvm import relax, tirx

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.shared_weights import digest, shared_weights


class Kernels:
    """The module under construction; equal kernels are one.

    Attributes
    ----------
    shared : digests of weights that several of its functions read.
    """

    def __init__(self, module: tvm.IRModule) -> None:
        self.module, self.shared = module.clone(), shared_weights(module)
        self._made: dict[Hashable, tvm.ir.GlobalVar] = {}
        self._names = {name.name_hint for name in module.functions}

    def get(
        self, stem: str, key: Hashable, make: Callable[[str], tirx.PrimFunc]
    ) -> tvm.ir.GlobalVar:
        """Return the kernel of a description, made when it is asked for first."""
        if (stem, key) not in self._made:
            name, number = stem, len(self._made)
            while name in self._names:
                name, number = f"{stem}_{number}", number + 1
            self._names.add(name)
            var = tvm.ir.GlobalVar(name)
            function = make(name)
            relax.expr._update_type(var, function.ty)
            self.module[var] = function
            self._made[stem, key] = var
        return self._made[stem, key]


def with_kernels(
    module: tvm.IRModule, rewrite: Callable[[relax.Function, Kernels], relax.Function]
) -> tvm.IRModule:
    """Rewrite every Relax function of a module over kernels."""
    kernels = Kernels(module)
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            kernels.module[name] = rewrite(function, kernels)
    return relax.transform.DeadCodeElimination()(kernels.module)


class KernelBody:
    """The bindings of a function under construction."""

    def __init__(self) -> None:
        self._builder = relax.BlockBuilder()
        self._out: list[Any] = []

    def call(self, kernel: tvm.ir.GlobalVar, args: list[Any], ty: Any, name: str) -> relax.Var:
        """Bind the result of a kernel to a variable."""
        return self.bind(relax.call_tir(kernel, relax.Tuple(args), ty), name, None)

    def bind(self, value: Any, name: str, old: relax.Var | None) -> relax.Var:
        """Bind a value to a variable, of the type of an old one if there is one."""
        value = self._builder.normalize(value)
        var = relax.DataflowVar(name, value.ty if old is None else old.ty)
        self._out.append(relax.VarBinding(var, value))
        return var

    def function(self, old: relax.Function, results: Any) -> relax.Function:
        """Return a function like an old one; its results are variables of the body."""
        result = self._output(results)
        block = relax.DataflowBlock(self._out)
        sequence = self._builder.normalize(relax.SeqExpr([block], result))
        return relax.Function(list(old.params), sequence, sequence.ty, attrs=old.attrs)

    def _output(self, body: Any) -> Any:
        """Bind results to variables that are seen from outside."""
        fields = list(body.fields) if isinstance(body, relax.Tuple) else [body]
        outputs = []
        for field in fields:
            output = relax.Var(
                f"{field.name}_out" if isinstance(field, relax.Var) else "out", field.ty
            )
            self._out.append(relax.VarBinding(output, field))
            outputs.append(output)
        return relax.Tuple(outputs) if isinstance(body, relax.Tuple) else outputs[0]


def padding_of(call: relax.Call) -> Halo:
    """Return the rows and columns that a convolution reads around its map."""
    (top, left), (height, width) = [int(one) for one in call.attrs.padding[:2]], (
        int(call.args[0].ty.shape[2]), int(call.args[0].ty.shape[3])
    )  # fmt: skip
    kernel = [int(size) for size in call.args[1].value.shape[2:]]
    (down, across), dilation = pair(call.attrs.strides), pair(call.attrs.dilation)
    rows, columns = int(call.ty.shape[2]), int(call.ty.shape[3])
    last_row = (rows - 1) * down + (kernel[0] - 1) * dilation[0] - top
    last_column = (columns - 1) * across + (kernel[1] - 1) * dilation[1] - left
    return Halo(top, left, max(0, last_row - height + 1), max(0, last_column - width + 1))


def conv_of(
    call: relax.Call,
    data: Blocked,
    out: Blocked,
    steps: tuple[Step, ...],
    maps: tuple[Blocked, ...],
    shared: frozenset[bytes],
) -> Conv:
    """Return a conv2d between layouts, and what follows it; ``shared`` as `shared_weights` says."""
    attrs, (_, _, height, width) = call.attrs, (int(one) for one in call.args[1].value.shape)
    top, left = (int(one) for one in attrs.padding[:2])
    return Conv(
        data,
        out,
        (height, width),
        pair(attrs.strides),
        (top, left),
        pair(attrs.dilation),
        int(attrs.groups),
        steps,
        maps,
        digest(call.args[1]) in shared,
    )


def dense_of(call: relax.Call, lanes: int, most: int, steps: tuple[Step, ...]) -> Dense:
    """Return a product of matrices, and what follows it, in runs of so many vectors at most."""
    (batch, inputs), outputs = pair(call.args[0].ty.shape), int(call.args[1].value.shape[1])
    return Dense(batch, inputs, outputs, lanes, min(most, -(-outputs // lanes)), steps)


def pair(values: Any) -> tuple[int, int]:
    """Return two attributes as numbers."""
    first, second = (int(value) for value in values)
    return first, second


def replaced(value: Any, form: Callable[[relax.Var], relax.Var]) -> Any:
    """Return an expression over the new variables."""
    if isinstance(value, relax.Var):
        return form(value)
    if isinstance(value, relax.Tuple):
        return relax.Tuple([replaced(field, form) for field in value.fields])
    if isinstance(value, relax.TupleGetItem):
        return relax.TupleGetItem(replaced(value.tuple_value, form), value.index)
    if isinstance(value, relax.Call):
        args = [replaced(arg, form) for arg in value.args]
        return relax.Call(value.op, args, value.attrs, value.ty_args)
    return value
