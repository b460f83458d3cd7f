"""Let quantised layers work on maps in blocks of channels.

    main: conv2d(int8) -> add -> right_shift -> clip -> astype(int8) -> max_pool2d -> ...
    =>
    main: call_tir(conv2d with all steps) -> call_tir(max_pool2d) -> ...

As `block.py` does for float32; maps are bytes, as the core's products want them (`dot.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.cpu.block_plan import PICTURE_CHANNELS
from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.dot import QUAD, Dot, Integers
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.integer_plan import Chain, plan_integers
from lcp_tvm.cpu.kernel_body import KernelBody, Kernels, padding_of, pair, replaced
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.conv_int8 import conv_int8_kernel, pack_int8
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.dense_int8 import dense_int8_kernel, pack_matrix_int8
from lcp_tvm.cpu.kernels.move_int8 import (
    block_int8_kernel,
    concat_int8_kernel,
    elementwise_int8_kernel,
    quantise_kernel,
    unblock_int8_kernel,
)
from lcp_tvm.cpu.kernels.pool import Pool
from lcp_tvm.cpu.kernels.pool_int8 import max_pool_int8_kernel, sum_int8_kernel
from lcp_tvm.relay_passes.rewrite import operands_of, short_name

VECTORS = 8
"""Of outputs of a dense layer that are summed up at a time."""


def block_int8(module: tvm.IRModule, dot: Dot, choose: Callable[[Conv], Tile]) -> tvm.IRModule:
    """Rewrite the integer layers of every Relax function of a module.

    Parameters
    ----------
    dot : the products of the core.
    choose : the register tile of a convolution.
    """
    kernels = Kernels(module)
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            kernels.module[name] = _Blocker(function, dot, choose, kernels).rewrite()
    return relax.transform.DeadCodeElimination()(kernels.module)


class _Blocker:
    """Rewrites one function."""

    def __init__(
        self,
        function: relax.Function,
        dot: Dot,
        choose: Callable[[Conv], Tile],
        kernels: Kernels,
    ) -> None:
        self._function, self._dot, self._lanes = function, dot, dot.lanes
        self._choose, self._kernels = choose, kernels
        self._bindings = [one for block in function.body.blocks for one in block.bindings]
        body = function.body.body
        results = list(body.fields) if isinstance(body, relax.Tuple) else [body]
        self._chains, self._inside = plan_integers(self._bindings, results, self._lanes)
        self._halos = self._find_halos()
        self._body = KernelBody()
        self._plain: dict[relax.Var, relax.Var] = {one: one for one in function.params}
        self._forms: dict[tuple[relax.Var, int], tuple[Blocked, relax.Var]] = {}

    def rewrite(self) -> relax.Function:
        """Return the function over kernels."""
        if not any(chain.head != "quantise" for chain in self._chains.values()):
            return self._function
        for binding in self._bindings:
            var, value = binding.var, binding.value
            chain = self._chains.get(var)
            if var in self._inside:
                continue
            if chain is not None:
                self._emit(chain)
            elif self._is_pool(value):
                self._pool(value, self._layout(var), var)
            elif self._is_concat(value):
                self._concat(operands_of(value), self._layout(var), var)
            else:
                self._plain[var] = self._body.bind(replaced(value, self._as_plain), var.name, var)
        return self._body.function(
            self._function, replaced(self._function.body.body, self._as_plain)
        )

    def _find_halos(self) -> dict[tuple[relax.Var, int], Halo]:
        """Return the padding of all who read each variable, by variable and lanes."""
        halos: dict[tuple[relax.Var, int], Halo] = {}
        for chain in self._chains.values():
            if chain.head == "conv":
                key = chain.data, self._data_lanes(chain.call)
                halos[key] = halos.get(key, Halo()) | padding_of(chain.call)
        return halos

    def _data_lanes(self, call: relax.Call) -> int:
        few = int(call.args[0].ty.shape[1]) <= PICTURE_CHANNELS and int(call.attrs.groups) == 1
        return QUAD if few else self._lanes

    def _layout(self, var: relax.Var, lanes: int | None = None) -> Blocked:
        lanes = lanes or self._lanes
        batch, channels, height, width = (int(size) for size in var.ty.shape)
        halo = self._halos.get((var, lanes), Halo())
        return Blocked(batch, channels, height, width, lanes, halo, self._dot.dtype)

    def _in_blocks(self, var: relax.Var, lanes: int) -> tuple[Blocked, relax.Var]:
        """Return a variable in blocks, as it is or converted."""
        if (var, lanes) not in self._forms:
            layout = self._layout(var, lanes)
            kernel = self._kernels.get(
                "int8_block", layout, lambda name: block_int8_kernel(name, layout)
            )
            name = f"{var.name}_blocks"
            made = self._body.call(kernel, [self._as_plain(var)], _type(layout), name)
            self._forms[var, lanes] = layout, made
        return self._forms[var, lanes]

    def _as_plain(self, var: relax.Var) -> relax.Var:
        """Return a variable as NCHW, as it is or converted."""
        if var not in self._plain:
            lanes = self._lanes if (var, self._lanes) in self._forms else QUAD
            layout, data = self._forms[var, lanes]
            kernel = self._kernels.get(
                "int8_unblock", layout, lambda name: unblock_int8_kernel(name, layout)
            )
            self._plain[var] = self._body.call(kernel, [data], var.ty, var.name)
        return self._plain[var]

    def _emit(self, chain: Chain) -> None:
        if chain.head == "dense":
            self._plain[chain.last] = self._dense(chain)
            return
        lanes = QUAD if chain.head == "quantise" else self._lanes
        out = self._layout(chain.last, lanes)
        emit = {
            "conv": self._conv,
            "sum": self._sum,
            "map": self._elementwise,
            "quantise": self._quantise,
        }[chain.head]
        self._forms[chain.last, lanes] = out, emit(chain, out)

    def _conv(self, chain: Chain, out: Blocked) -> relax.Var:
        data, x = self._in_blocks(chain.data, self._data_lanes(chain.call))
        weight, attrs = chain.call.args[1].value.numpy(), chain.call.attrs
        steps, constants = _without_sign(chain, weight.sum(axis=(1, 2, 3), dtype=np.int64), data)
        operands, maps = self._operands(steps, constants, out)
        conv = Conv(
            data,
            out,
            (weight.shape[2], weight.shape[3]),
            pair(attrs.strides),
            (int(attrs.padding[0]), int(attrs.padding[1])),
            pair(attrs.dilation),
            int(attrs.groups),
            steps,
            maps,
        )
        tile, dot = self._choose(conv), self._dot.exact_for(weight)
        kernel = self._kernels.get(
            "int8_conv2d", (conv, tile, dot), lambda name: conv_int8_kernel(name, conv, tile, dot)
        )
        packed = relax.const(pack_int8(conv, tile, weight, dot))
        return self._body.call(kernel, [x, packed, *operands], _type(out), chain.last.name)

    def _dense(self, chain: Chain) -> relax.Var:
        data, weight = self._as_plain(chain.data), chain.call.args[1].value.numpy()
        (batch, inputs), outputs = (int(size) for size in data.ty.shape), weight.shape[1]
        bytes_ = Blocked(batch, inputs, 1, 1, QUAD, dtype=self._dot.dtype)
        steps, constants = _without_sign(chain, weight.sum(axis=0, dtype=np.int64), bytes_)
        vectors = min(VECTORS, -(-outputs // self._lanes))
        dense, dot = (
            Dense(batch, inputs, outputs, self._lanes, vectors, steps),
            self._dot.exact_for(weight),
        )
        operands = [_padded(one, outputs, dense.padded) for one in constants]
        kernel = self._kernels.get(
            "int8_dense", (dense, dot), lambda name: dense_int8_kernel(name, dense, dot)
        )
        packed = relax.const(pack_matrix_int8(dense, weight, dot))
        arguments = [data, packed, *map(relax.const, operands)]
        return self._body.call(kernel, arguments, chain.last.ty, chain.last.name)

    def _quantise(self, chain: Chain, out: Blocked) -> relax.Var:
        ((factor,),) = (step.numbers for step in chain.steps)
        kernel = self._kernels.get(
            "quantise",
            (out, factor),
            lambda name: quantise_kernel(name, out, factor, self._lanes),
        )
        x = self._as_plain(chain.data)
        return self._body.call(kernel, [x], _type(out), chain.last.name)

    def _sum(self, chain: Chain, out: Blocked) -> relax.Var:
        return self._of_map("int8_sum", sum_int8_kernel, chain, out)

    def _elementwise(self, chain: Chain, out: Blocked) -> relax.Var:
        return self._of_map("int8_elementwise", elementwise_int8_kernel, chain, out)

    def _of_map(self, stem: str, make: Any, chain: Chain, out: Blocked) -> relax.Var:
        data, x = self._in_blocks(chain.data, self._lanes)
        operands, maps = self._operands(chain.steps, chain.operands, out)
        key = data, out, chain.steps, maps
        kernel = self._kernels.get(stem, key, lambda name: make(name, *key))
        return self._body.call(kernel, [x, *operands], _type(out), chain.last.name)

    def _operands(
        self, steps: Sequence[Step], operands: Sequence[Any], out: Blocked
    ) -> tuple[list[Any], tuple[Blocked, ...]]:
        """Return what steps read, packed, and the layouts of maps."""
        found, maps = [], []
        readers = [step for step in steps if step.has_operand]
        for step, operand in zip(readers, operands, strict=True):
            if step.kind == "add":
                layout, data = self._in_blocks(operand, self._lanes)
                maps.append(layout)
                found.append(data)
            else:
                values = _padded(operand, out.channels, out.blocks * out.lanes)
                found.append(relax.const(values.reshape(out.blocks, out.lanes)))
        return found, tuple(maps)

    def _is_pool(self, value: Any) -> bool:
        if short_name(value) != "max_pool2d" or not self._is_blocked(value.args[0]):
            return False
        return value.attrs.layout == "NCHW" and all(int(one) == 1 for one in value.attrs.dilation)

    def _is_concat(self, value: Any) -> bool:
        if short_name(value) != "concat" or int(value.attrs.axis) != 1:
            return False
        parts = operands_of(value)
        return all(
            self._is_blocked(one) and int(one.ty.shape[1]) % self._lanes == 0 for one in parts
        )

    def _is_blocked(self, value: Any) -> bool:
        return isinstance(value, relax.Var) and (value, self._lanes) in self._forms

    def _pool(self, value: relax.Call, out: Blocked, var: relax.Var) -> None:
        data, x = self._in_blocks(value.args[0], self._lanes)
        attrs = value.attrs
        padding = int(attrs.padding[0]), int(attrs.padding[1])
        pool = Pool(data, out, "max", pair(attrs.pool_size), pair(attrs.strides), padding, Halo())
        kernel = self._kernels.get(
            "int8_max_pool", pool, lambda name: max_pool_int8_kernel(name, pool)
        )
        self._forms[var, self._lanes] = out, self._body.call(kernel, [x], _type(out), var.name)

    def _concat(self, operands: Sequence[relax.Var], out: Blocked, var: relax.Var) -> None:
        parts = [self._in_blocks(one, self._lanes) for one in operands]
        layouts = tuple(layout for layout, _ in parts)
        kernel = self._kernels.get(
            "int8_concat", (layouts, out), lambda name: concat_int8_kernel(name, layouts, out)
        )
        made = self._body.call(kernel, [one for _, one in parts], _type(out), var.name)
        self._forms[var, self._lanes] = out, made


def _without_sign(
    chain: Chain, sums: Integers, data: Blocked
) -> tuple[tuple[Step, ...], tuple[Any, ...]]:
    """Return steps and operands that take off what a map's zero adds to sums of products.

    Parameters
    ----------
    sums : of weights, by output.
    """
    if not data.zero:
        return chain.steps, chain.operands
    taken = -data.zero * sums
    if chain.steps and chain.steps[0].kind == "bias":
        bias = chain.operands[0].value.numpy().astype(np.int64).reshape(-1) + taken
        return chain.steps, (bias, *chain.operands[1:])
    return (Step("bias"), *chain.steps), (taken, *chain.operands)


def _padded(operand: Any, channels: int, size: int) -> Integers:
    """Return a number per channel, as int32, and zeros up to a size."""
    values = operand if isinstance(operand, np.ndarray) else operand.value.numpy()
    padded = np.zeros(size, np.int64)
    padded[:channels] = values.reshape(-1)
    return padded.astype(np.int32)  # sums of 32 bits wrap around


def _type(layout: Blocked) -> relax.TensorType:
    return relax.TensorType(layout.shape, layout.dtype)
