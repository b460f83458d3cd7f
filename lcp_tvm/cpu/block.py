"""Let convolutions and what lies between them work on maps in blocks of channels.

    main: conv2d -> add -> relu -> max_pool2d -> ...
    =>
    main: call_tir(block) -> call_tir(conv2d with add and relu) -> call_tir(max_pool2d) -> ...

Maps change their form only where they come from, or go to, operators that have no such kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.cpu.block_plan import PICTURE_CHANNELS, BlockPlan, Fused, plan_blocks
from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernel_body import KernelBody, Kernels, padding_of, pair, replaced
from lcp_tvm.cpu.kernels.conv import Conv, Tile, conv_pool_kernel
from lcp_tvm.cpu.kernels.dense import Dense, dense_kernel, pack_matrix
from lcp_tvm.cpu.kernels.move import (
    block_kernel,
    concat_kernel,
    elementwise_kernel,
    unblock_kernel,
)
from lcp_tvm.cpu.kernels.pool import Pool, mean_kernel, pool_kernel
from lcp_tvm.cpu.templates import Choose, template_of
from lcp_tvm.relay_passes.rewrite import operands_of, short_name

VECTORS = 8
"""Of outputs of a dense layer that are summed up at a time."""


def block_layouts(module: tvm.IRModule, lanes: int, choose: Choose) -> tvm.IRModule:
    """Rewrite every Relax function of a module.

    Parameters
    ----------
    lanes : float32 numbers of a vector register.
    choose : how a convolution is computed.
    """
    kernels = Kernels(module)
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            kernels.module[name] = _Blocker(function, lanes, choose, kernels).rewrite()
    return relax.transform.DeadCodeElimination()(kernels.module)


class _Blocker:
    """Rewrites one function."""

    def __init__(
        self,
        function: relax.Function,
        lanes: int,
        choose: Choose,
        kernels: Kernels,
    ) -> None:
        self._function, self._lanes = function, lanes
        self._choose, self._kernels = choose, kernels
        self._bindings = [one for block in function.body.blocks for one in block.bindings]
        body = function.body.body
        results = list(body.fields) if isinstance(body, relax.Tuple) else [body]
        self._plan: BlockPlan = plan_blocks(self._bindings, results, lanes)
        self._halos = self._find_halos()
        self._body = KernelBody()
        self._plain: dict[relax.Var, relax.Var] = {one: one for one in function.params}
        self._forms: dict[tuple[relax.Var, int], tuple[Blocked, relax.Var]] = {}

    def rewrite(self) -> relax.Function:
        """Return the function over kernels."""
        if not self._plan.fused:
            return self._function
        for binding in self._bindings:
            var, value = binding.var, binding.value
            if var in self._plan.inside or (var, self._lanes) in self._forms:
                continue
            if var in self._plan.blocked:
                self._emit_blocked(var, value)
            elif var in self._plan.fused:
                self._plain[var] = self._dense(self._plan.fused[var], var)
            elif self._is_mean(value):
                self._plain[var] = self._mean(value.args[0], var)
            else:
                self._plain[var] = self._body.bind(replaced(value, self._as_plain), var.name, var)
        return self._body.function(
            self._function, replaced(self._function.body.body, self._as_plain)
        )

    def _find_halos(self) -> dict[tuple[relax.Var, int], Halo]:
        """Return the padding of all who read each variable, by variable and lanes."""
        halos: dict[tuple[relax.Var, int], Halo] = {}
        for fused in self._plan.fused.values():
            call = fused.call
            if short_name(call) == "conv2d" and self._is_first(fused):
                key = call.args[0], self._data_lanes(call)
                halos[key] = halos.get(key, Halo()) | padding_of(call)
        return halos

    def _is_first(self, fused: Fused) -> bool:
        return len(fused.operands) == sum(step.has_operand for step in fused.steps)

    def _data_lanes(self, call: relax.Call) -> int:
        channels, groups = int(call.args[0].ty.shape[1]), int(call.attrs.groups)
        few = (
            channels <= PICTURE_CHANNELS and groups == 1 and call.args[0] not in self._plan.blocked
        )
        return 1 if few else self._lanes

    def _emit_blocked(self, var: relax.Var, value: Any) -> None:
        out = self._layout(var)
        fused = self._plan.fused.get(var)
        if fused is not None and self._is_first(fused):
            self._emit_conv(fused, out)
            return
        if fused is not None:
            made = self._elementwise(fused, out)
        elif short_name(value) == "concat":
            parts = [self._in_blocks(one, self._lanes) for one in operands_of(value)]
            layouts = tuple(layout for layout, _ in parts)
            kernel = self._kernels.get(
                "concat", (layouts, out), lambda name: concat_kernel(name, layouts, out)
            )
            made = self._body.call(kernel, [one for _, one in parts], _type(out), var.name)
        else:
            made = self._pool(value, out, var.name)
        self._forms[var, self._lanes] = out, made

    def _layout(self, var: relax.Var, lanes: int | None = None) -> Blocked:
        lanes = lanes or self._lanes
        batch, channels, height, width = (int(size) for size in var.ty.shape)
        halo = self._halos.get((var, lanes), Halo())
        return Blocked(batch, channels, height, width, lanes, halo)

    def _in_blocks(self, var: relax.Var, lanes: int) -> tuple[Blocked, relax.Var]:
        """Return a variable in blocks, as it is or converted."""
        if (var, lanes) not in self._forms:
            layout = self._layout(var, lanes)
            kernel = self._kernels.get("block", layout, lambda name: block_kernel(name, layout))
            made = self._body.call(kernel, [self._plain[var]], _type(layout), f"{var.name}_blocks")
            self._forms[var, lanes] = layout, made
        return self._forms[var, lanes]

    def _as_plain(self, var: relax.Var) -> relax.Var:
        """Return a variable as NCHW, as it is or converted."""
        if var not in self._plain:
            layout, data = self._forms[var, self._lanes]
            kernel = self._kernels.get("unblock", layout, lambda name: unblock_kernel(name, layout))
            self._plain[var] = self._body.call(kernel, [data], var.ty, var.name)
        return self._plain[var]

    def _emit_conv(self, fused: Fused, out: Blocked) -> None:
        """Compute a convolution, and the pool behind a direct one."""
        call = fused.call
        data, x = self._in_blocks(call.args[0], self._data_lanes(call))
        weight = call.args[1].value.numpy()
        attrs = call.attrs
        operands, maps = self._operands(fused.steps, fused.operands, out)
        conv = Conv(
            data,
            out,
            (weight.shape[2], weight.shape[3]),
            pair(attrs.strides),
            (int(attrs.padding[0]), int(attrs.padding[1])),
            pair(attrs.dilation),
            int(attrs.groups),
            fused.steps,
            maps,
        )
        choice = self._choose(conv)
        stem, template = template_of(choice)
        last = fused.last
        if isinstance(choice, Tile) and last in self._plan.pooled:
            last, window = self._plan.pooled[last]
            out = self._layout(last)
            kernel = self._kernels.get(
                f"{stem}_pool",
                (conv, choice, window, out),
                lambda name: conv_pool_kernel(name, conv, choice, window, out),
            )
        else:
            kernel = self._kernels.get(
                stem, (conv, choice), lambda name: template.kernel(name, conv, choice)
            )
        packed = relax.const(template.pack(conv, choice, weight))
        made = self._body.call(kernel, [x, packed, *operands], _type(out), last.name)
        self._forms[last, self._lanes] = out, made

    def _dense(self, fused: Fused, var: relax.Var) -> relax.Var:
        data, weight = self._as_plain(fused.call.args[0]), fused.call.args[1].value.numpy()
        (batch, inputs), outputs = (int(size) for size in data.ty.shape), weight.shape[1]
        vectors = min(VECTORS, -(-outputs // self._lanes))
        dense = Dense(batch, inputs, outputs, self._lanes, vectors, fused.steps)
        operands = []
        for operand in fused.operands:
            values = np.zeros(dense.padded, np.float32)
            values[:outputs] = operand.value.numpy().reshape(-1)
            operands.append(relax.const(values))
        kernel = self._kernels.get("blocked_dense", dense, lambda name: dense_kernel(name, dense))
        packed = relax.const(pack_matrix(dense, weight))
        return self._body.call(kernel, [data, packed, *operands], var.ty, var.name)

    def _elementwise(self, fused: Fused, out: Blocked) -> relax.Var:
        data, x = self._in_blocks(fused.operands[0], self._lanes)
        operands, maps = self._operands(fused.steps, fused.operands[1:], out)
        kernel = self._kernels.get(
            "elementwise",
            (data, out, fused.steps, maps),
            lambda name: elementwise_kernel(name, data, out, fused.steps, maps),
        )
        return self._body.call(kernel, [x, *operands], _type(out), fused.last.name)

    def _operands(
        self, steps: tuple[Step, ...], operands: tuple[Any, ...], out: Blocked
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
                values = np.zeros(out.blocks * out.lanes, np.float32)
                values[: out.channels] = operand.value.numpy().reshape(-1)
                found.append(relax.const(values.reshape(out.blocks, out.lanes)))
        return found, tuple(maps)

    def _pool(self, value: relax.Call, out: Blocked, name: str) -> relax.Var:
        data, x = self._in_blocks(value.args[0], self._lanes)
        attrs = value.attrs
        average = short_name(value) == "avg_pool2d"
        padding = Halo(*map(int, attrs.padding))
        pool = Pool(
            data,
            out,
            "average" if average else "max",
            pair(attrs.pool_size),
            pair(attrs.strides),
            (padding.top, padding.left),
            padding if average and attrs.count_include_pad else Halo(),
        )
        kernel = self._kernels.get("pool", pool, lambda made: pool_kernel(made, pool))
        return self._body.call(kernel, [x], _type(out), name)

    def _mean(self, data: relax.Var, var: relax.Var) -> relax.Var:
        layout, x = self._in_blocks(data, self._lanes)
        kernel = self._kernels.get("mean", layout, lambda name: mean_kernel(name, layout))
        return self._body.call(kernel, [x], var.ty, var.name)

    def _is_mean(self, value: Any) -> bool:
        if short_name(value) != "mean" or value.args[0] not in self._plan.blocked:
            return False
        axes = value.attrs.axis  # None is all of them
        return axes is not None and list(map(int, axes)) == [2, 3] and bool(value.attrs.keepdims)


def _type(layout: Blocked) -> relax.TensorType:
    return relax.TensorType(layout.shape, "float32")
