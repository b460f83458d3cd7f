"""Let convolutions and what lies between them work on maps in blocks of channels.

    main: conv2d -> add -> relu -> max_pool2d -> ...
    =>
    main: call_tir(block) -> call_tir(conv2d with add and relu) -> call_tir(max_pool2d) -> ...

Maps change their form only where they come from, or go to, operators that have no such kernel.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from lcp_tvm.cpu.block_plan import PICTURE_CHANNELS, BlockPlan, Fused, plan_blocks
from lcp_tvm.cpu.blocked import Halo
from lcp_tvm.cpu.dataflow import dataflow_of
from lcp_tvm.cpu.forms import Forms, Kind
from lcp_tvm.cpu.kernel_body import Kernels, conv_of, dense_of, padding_of, pair, with_kernels
from lcp_tvm.cpu.kernels.dense import dense_kernel, pack_matrix
from lcp_tvm.cpu.kernels.move import (
    block_kernel,
    concat_kernel,
    elementwise_kernel,
    unblock_kernel,
)
from lcp_tvm.cpu.kernels.pool import Pool, mean_kernel, pool_kernel
from lcp_tvm.cpu.templates import Choose, template_of
from lcp_tvm.relay_passes.rewrite import operands_of, short_name

_STEPS = 4  # which argument of a crop they are

VECTORS = 8
"""Of outputs of a dense layer that are summed up at a time."""

FLOATS = Kind(
    stem="",
    dtype="float32",
    sums="float32",
    block=block_kernel,
    unblock=unblock_kernel,
    concat=concat_kernel,
)


def block_layouts(module: tvm.IRModule, lanes: int, choose: Choose) -> tvm.IRModule:
    """Rewrite every Relax function of a module.

    Parameters
    ----------
    lanes : float32 numbers of a vector register.
    choose : how a convolution is computed.
    """
    return with_kernels(
        module, lambda function, kernels: _Blocker(function, lanes, choose, kernels).rewrite()
    )


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
        self._flow = dataflow_of(function)
        self._plan: BlockPlan = plan_blocks(self._flow, lanes)
        self._forms = Forms(function, kernels, FLOATS, lanes, self._find_halos())

    def rewrite(self) -> relax.Function:
        """Return the function over kernels."""
        if not self._plan.fused:
            return self._function
        for var, value in self._flow.values.items():
            if var in self._plan.inside or self._forms.is_blocked(var):
                continue
            if var in self._plan.blocked:
                self._emit_blocked(var, value)
            elif var in self._plan.fused:
                self._dense(self._plan.fused[var])
            elif self._is_crop(value):
                self._crop(value, var)
            elif self._is_mean(value):
                self._mean(value.args[0], var)
            else:
                self._forms.keep(value, var)
        return self._forms.function()

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
        fused = self._plan.fused.get(var)
        if fused is not None and self._is_first(fused):
            self._conv(fused)
        elif fused is not None:
            self._elementwise(fused)
        elif short_name(value) == "concat":
            self._forms.join(operands_of(value), var)
        else:
            self._pool(value, var)

    def _is_crop(self, value: Any) -> bool:
        """Say whether an operator takes rows and columns of what lies in blocks alone."""
        if short_name(value) != "strided_slice" or not self._forms.is_blocked(value.args[0]):
            return False
        steps = [int(one.value) for one in value.args[4].fields] if len(value.args) > _STEPS else []
        channels = [list(one.ty.shape)[:2] for one in (value.args[0], value)]
        return all(step == 1 for step in steps) and channels[0] == channels[1]

    def _crop(self, value: relax.Call, var: relax.Var) -> None:
        axes, begins = ([int(one.value) for one in value.args[at].fields] for at in (1, 2))
        sizes = [int(size) for size in value.args[0].ty.shape]
        first = {
            axis: slice(begin, None).indices(sizes[axis])[0]  # from the end, or beyond it
            for axis, begin in zip(axes, begins, strict=True)
        }
        self._forms.crop(value.args[0], var, first.get(2, 0), first.get(3, 0))

    def _conv(self, fused: Fused) -> None:
        """Compute a convolution, and the pool behind a direct one."""
        call, last = fused.call, fused.last
        out = self._forms.layout(last)
        data, x = self._forms.blocked(call.args[0], self._data_lanes(call))
        weight = call.args[1].value.numpy()
        operands, maps = self._forms.operands(fused.steps, fused.operands, out)
        conv = conv_of(call, data, out, fused.steps, maps, self._kernels.shared)
        choice = self._choose(conv)
        stem, template = template_of(choice)
        pooled, window = self._plan.pooled.get(last, (last, (1, 1)))
        pool_kernel = template.pool_kernel
        if pooled != last and pool_kernel is not None and template.pools(choice, window):
            last = pooled
            out = self._forms.layout(last)
            kernel = self._kernels.get(
                f"{stem}_pool",
                (conv, choice, window, out),
                lambda name: pool_kernel(name, conv, choice, window, out),
            )
        else:
            kernel = self._kernels.get(
                stem, (conv, choice), lambda name: template.kernel(name, conv, choice)
            )
        packed = relax.const(template.pack(conv, choice, weight))
        self._forms.compute(kernel, [x, packed, *operands], last, out)

    def _dense(self, fused: Fused) -> None:
        data, weight = fused.call.args
        dense = dense_of(fused.call, self._lanes, VECTORS, fused.steps)
        x = self._forms.plain(data)
        operands = [
            relax.const(self._forms.per_channel(operand, dense.outputs, dense.padded))
            for operand in fused.operands
        ]
        kernel = self._kernels.get("blocked_dense", dense, lambda name: dense_kernel(name, dense))
        packed = relax.const(pack_matrix(dense, weight.value.numpy()))
        self._forms.compute_plain(kernel, [x, packed, *operands], fused.last)

    def _elementwise(self, fused: Fused) -> None:
        out = self._forms.layout(fused.last)
        data, x = self._forms.blocked(fused.operands[0])
        operands, maps = self._forms.operands(fused.steps, fused.operands[1:], out)
        kernel = self._kernels.get(
            "elementwise",
            (data, out, fused.steps, maps),
            lambda name: elementwise_kernel(name, data, out, fused.steps, maps),
        )
        self._forms.compute(kernel, [x, *operands], fused.last, out)

    def _pool(self, value: relax.Call, var: relax.Var) -> None:
        (data, x), out = self._forms.blocked(value.args[0]), self._forms.layout(var)
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
        self._forms.compute(kernel, [x], var, out)

    def _mean(self, data: relax.Var, var: relax.Var) -> None:
        layout, x = self._forms.blocked(data)
        kernel = self._kernels.get("mean", layout, lambda name: mean_kernel(name, layout))
        self._forms.compute_plain(kernel, [x], var)

    def _is_mean(self, value: Any) -> bool:
        if short_name(value) != "mean" or value.args[0] not in self._plan.blocked:
            return False
        axes = value.attrs.axis  # None is all of them
        return axes is not None and list(map(int, axes)) == [2, 3] and bool(value.attrs.keepdims)
