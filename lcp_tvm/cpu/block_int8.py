"""Let quantised layers work on maps in blocks of channels.

    main: conv2d(int8) -> add -> right_shift -> clip -> astype(int8) -> max_pool2d -> ...
    =>
    main: call_tir(conv2d with all steps) -> call_tir(max_pool2d) -> ...

As `block.py` does for float32; maps are bytes, as the core's products want them (`dot.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from lcp_tvm.cpu.block_plan import PICTURE_CHANNELS
from lcp_tvm.cpu.blocked import Halo, zero_of
from lcp_tvm.cpu.dataflow import dataflow_of
from lcp_tvm.cpu.dot import QUAD, Dot, Integers
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.forms import Forms, Kind
from lcp_tvm.cpu.integer_plan import Chain, Head, plan_integers
from lcp_tvm.cpu.kernel_body import Kernels, conv_of, dense_of, padding_of, pair, with_kernels
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv
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
from lcp_tvm.cpu.templates import Choose, template_of
from lcp_tvm.relay_passes.rewrite import operands_of, short_name


def block_int8(module: tvm.IRModule, dot: Dot, choose: Choose) -> tvm.IRModule:
    """Rewrite the integer layers of every Relax function of a module.

    Parameters
    ----------
    dot : the products of the core.
    choose : how a convolution is computed.
    """
    return with_kernels(
        module, lambda function, kernels: _Blocker(function, dot, choose, kernels).rewrite()
    )


def _kind_of(dot: Dot) -> Kind:
    return Kind(
        stem="int8_",
        dtype=dot.dtype,
        sums="int32",
        block=block_int8_kernel,
        unblock=unblock_int8_kernel,
        concat=concat_int8_kernel,
    )


class _Blocker:
    """Rewrites one function."""

    def __init__(
        self,
        function: relax.Function,
        dot: Dot,
        choose: Choose,
        kernels: Kernels,
    ) -> None:
        self._function, self._dot, self._lanes = function, dot, dot.lanes
        self._choose, self._kernels = choose, kernels
        self._flow = dataflow_of(function)
        self._chains, self._inside = plan_integers(self._flow, self._lanes)
        self._forms = Forms(function, kernels, _kind_of(dot), self._lanes, self._find_halos())

    def rewrite(self) -> relax.Function:
        """Return the function over kernels."""
        if not any(chain.head != "quantise" for chain in self._chains.values()):
            return self._function
        emit: dict[Head, Callable[[Chain], None]] = {
            "conv": self._conv,
            "dense": self._dense,
            "sum": partial(self._of_map, "int8_sum", sum_int8_kernel),
            "map": partial(self._of_map, "int8_elementwise", elementwise_int8_kernel),
            "quantise": self._quantise,
        }
        for var, value in self._flow.values.items():
            chain = self._chains.get(var)
            if var in self._inside:
                continue
            if chain is not None:
                emit[chain.head](chain)
            elif self._is_pool(value):
                self._pool(value, var)
            elif self._is_concat(value):
                self._forms.join(operands_of(value), var)
            else:
                self._forms.keep(value, var)
        return self._forms.function()

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

    def _conv(self, chain: Chain) -> None:
        out = self._forms.layout(chain.last)
        data, x = self._forms.blocked(chain.data, self._data_lanes(chain.call))
        weight = chain.call.args[1].value.numpy()
        steps, constants = self._without_sign(chain, weight.sum((1, 2, 3), dtype=np.int64))
        operands, maps = self._forms.operands(steps, constants, out)
        conv = Int8Conv.of(
            conv_of(chain.call, data, out, steps, maps, self._kernels.shared),
            self._dot.exact_for(weight),
        )
        choice = self._choose(conv)
        stem, template = template_of(choice)
        kernel = self._kernels.get(
            stem, (conv, choice), lambda name: template.kernel(name, conv, choice)
        )
        packed = relax.const(template.pack(conv, choice, weight))
        self._forms.compute(kernel, [x, packed, *operands], chain.last, out)

    def _dense(self, chain: Chain) -> None:
        data, weight = self._forms.plain(chain.data), chain.call.args[1].value.numpy()
        steps, constants = self._without_sign(chain, weight.sum(axis=0, dtype=np.int64))
        dot = self._dot.exact_for(weight)
        dense = dense_of(chain.call, self._lanes, dot.outputs, steps)
        operands = [
            relax.const(self._forms.per_channel(one, dense.outputs, dense.padded))
            for one in constants
        ]
        kernel = self._kernels.get(
            "int8_dense", (dense, dot), lambda name: dense_int8_kernel(name, dense, dot)
        )
        packed = relax.const(pack_matrix_int8(dense, weight, dot))
        self._forms.compute_plain(kernel, [data, packed, *operands], chain.last)

    def _quantise(self, chain: Chain) -> None:
        ((factor,),) = (step.numbers for step in chain.steps)
        out, x = self._forms.layout(chain.last, QUAD), self._forms.plain(chain.data)
        kernel = self._kernels.get(
            "quantise",
            (out, factor),
            lambda name: quantise_kernel(name, out, factor, self._lanes),
        )
        self._forms.compute(kernel, [x], chain.last, out)

    def _of_map(self, stem: str, make: Callable[..., tirx.PrimFunc], chain: Chain) -> None:
        (data, x), out = self._forms.blocked(chain.data), self._forms.layout(chain.last)
        operands, maps = self._forms.operands(chain.steps, chain.operands, out)
        key = data, out, chain.steps, maps
        kernel = self._kernels.get(stem, key, lambda name: make(name, *key))
        self._forms.compute(kernel, [x, *operands], chain.last, out)

    def _is_pool(self, value: Any) -> bool:
        if short_name(value) != "max_pool2d" or not self._forms.is_blocked(value.args[0]):
            return False
        return value.attrs.layout == "NCHW" and all(int(one) == 1 for one in value.attrs.dilation)

    def _is_concat(self, value: Any) -> bool:
        if short_name(value) != "concat" or int(value.attrs.axis) != 1:
            return False
        parts = operands_of(value)
        return all(
            self._forms.is_blocked(one) and int(one.ty.shape[1]) % self._lanes == 0 for one in parts
        )

    def _pool(self, value: relax.Call, var: relax.Var) -> None:
        (data, x), out = self._forms.blocked(value.args[0]), self._forms.layout(var)
        attrs = value.attrs
        padding = int(attrs.padding[0]), int(attrs.padding[1])
        pool = Pool(data, out, "max", pair(attrs.pool_size), pair(attrs.strides), padding, Halo())
        kernel = self._kernels.get(
            "int8_max_pool", pool, lambda name: max_pool_int8_kernel(name, pool)
        )
        self._forms.compute(kernel, [x], var, out)

    def _without_sign(
        self, chain: Chain, sums: Integers
    ) -> tuple[tuple[Step, ...], tuple[Any, ...]]:
        """Return steps and operands that take off what a map's zero adds to sums of products.

        Parameters
        ----------
        sums : of weights, by output.
        """
        zero = zero_of(self._dot.dtype)
        if not zero:
            return chain.steps, chain.operands
        taken = -zero * sums
        if chain.steps and chain.steps[0].kind == "bias":
            bias = chain.operands[0].value.numpy().astype(np.int64).reshape(-1) + taken
            return chain.steps, (bias, *chain.operands[1:])
        return (Step("bias"), *chain.steps), (taken, *chain.operands)
