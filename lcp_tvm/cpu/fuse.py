"""Kernels that hold one channel of a convolution's result at a time.

    conv2d -> add -> leaky_relu -> max_pool2d
    =>
    for each channel: conv2d to a buffer of one channel; the rest from there to the result

TVM's default pipeline gives each operator a kernel of its own and keeps its whole result: two maps
of a layer's size at a time, where a tile of YOLOv2 has 8 MB. It also finishes one result before it
begins the next, which no vector unit likes. Here every element is computed by the same operations
in the same order as there, so all bits stay.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, s_tir, tirx

ELEMENTWISE, BROADCAST, FUSABLE, OPAQUE = 0, 1, 4, 8
"""TVM's patterns of operators; a fusable one may be followed by the first two."""

_KERNELS = ("fused_", "conv2d", "matmul")
_FOLLOWERS = ("max_pool2d", "pad")
"""Kernels that need of a map only what a channel has, so that they may follow what computes it."""

_MAP = 4  # dimensions of what has channels
_CHANNEL = 1


def fuse_kernels(module: tvm.IRModule) -> tvm.IRModule:
    """Fuse convolutions, and products of matrices, with what follows them element by element.

    Parameters
    ----------
    module : Relax functions of plain operators, in dataflow blocks.
    """
    transform = relax.transform
    fused = tvm.transform.Sequential(
        [
            transform.CanonicalizeBindings(),
            _pad_apart,
            transform.LegalizeOps(),
            transform.AnnotateTIROpPattern(),
            transform.FoldConstant(),
            _choose_patterns,
            transform.FuseOps(),
            transform.FuseTIR(),
        ]
    )(module)
    for name, function in fused.functions.items():
        if isinstance(function, tirx.PrimFunc) and name.name_hint.startswith(_KERNELS):
            fused[name] = _by_channel(function)
    return fused


@tvm.transform.module_pass(opt_level=0)
def _pad_apart(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
    """Give padded convolutions padded maps: whoever computes a map writes its border too."""
    padded = module.clone()
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            padded[name] = _PadApart(module).visit_expr(function)
    return padded


@relax.expr_functor.mutator
class _PadApart(relax.PyExprMutator):  # type: ignore[misc]
    """conv2d(x, w, padding) -> conv2d(pad(x), w)"""

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        call = self.visit_expr_post_order(call)
        if call.op != tvm.ir.Op.get("relax.nn.conv2d"):
            return call
        top, left, bottom, right = (int(size) for size in call.attrs.padding)
        if call.attrs.data_layout != "NCHW" or not top + left + bottom + right:
            return call
        x, weight = call.args
        widths = [0, 0, 0, 0, top, bottom, left, right]
        return relax.op.nn.conv2d(
            self.builder_.emit(relax.op.nn.pad(x, widths)),
            weight,
            strides=list(call.attrs.strides),
            dilation=list(call.attrs.dilation),
            groups=call.attrs.groups,
            kernel_layout=call.attrs.kernel_layout,
            out_layout=call.attrs.out_layout,
            out_dtype=call.attrs.out_dtype,
        )


@tvm.transform.module_pass(opt_level=0)
def _choose_patterns(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
    """Let max pools and borders follow a convolution too; what else moves elements stays alone."""
    chosen = module.clone()
    for name, function in module.functions.items():
        if not isinstance(function, tirx.PrimFunc) or "op_pattern" not in function.attrs:
            continue
        pattern = int(function.attrs["op_pattern"])
        if name.name_hint.startswith(_FOLLOWERS):
            pattern = ELEMENTWISE
        elif pattern not in (ELEMENTWISE, BROADCAST, FUSABLE):
            pattern = OPAQUE
        chosen[name] = function.with_attr("op_pattern", pattern)
    return chosen


def _by_channel(kernel: tirx.PrimFunc) -> tirx.PrimFunc:
    """Compute what a fused kernel keeps in between where it is read, channel by channel."""
    schedule = s_tir.Schedule(kernel)
    *inner, last = schedule.get_child_blocks(schedule.get_sblock("root"))
    loops = schedule.get_loops(last)
    has_channels = len(schedule.get(last).writes[0].region) == _MAP
    for block in reversed(inner):
        if not _reduced_axes(schedule, block):
            schedule.compute_inline(block)
        elif has_channels:
            schedule.compute_at(block, loops[_CHANNEL], preserve_unit_loops=True)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        if count := _reduced_axes(schedule, block):
            _row_by_row(schedule, block, count)
    return schedule.mod["main"]


def _row_by_row(schedule: s_tir.Schedule, block: Any, reduced: int) -> None:
    """Add a product to each result of a row, then the next: neighbours suit vector units."""
    results = schedule.get_loops(block)[:-reduced]
    reductions = schedule.get_loops(block)[-reduced:]
    schedule.reorder(*reductions, *results[-1:])
    schedule.decompose_reduction(block, reductions[0])


def _reduced_axes(schedule: s_tir.Schedule, block: Any) -> int:
    """How many of a block's loops add up, or look for the largest."""
    axes = schedule.get(block).iter_vars
    return sum(axis.iter_type == tirx.IterVar.CommReduce for axis in axes)
