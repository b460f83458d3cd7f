"""Keep the integers of a quantised constant next to its dequantize.

    reshape(dequantize(const, s), shape)      ->  dequantize(reshape(const), s)
    permute_dims(dequantize(const, s), axes)  ->  dequantize(permute_dims(const), s)

The importer shapes biases and dense weights after dequantising them; in this form the integers
can be used as they are. The axis of per-channel scales moves along.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_call, is_constant, rewrite_bindings


def _axis_after_reshape(before: list[int], after: list[int], axis: int) -> int | None:
    """Return where dimension ``axis`` went, if the others are all 1, e.g. [C] -> [1, C, 1, 1]."""
    others = [size for at, size in enumerate(before) if at != axis]
    places = [at for at, size in enumerate(after) if size == before[axis]]
    if any(size != 1 for size in others) or len(places) != 1 or before[axis] == 1:
        return None
    return places[0]


def _rule(graph: Graph, name: str, value: Any) -> Any:
    is_reshape = is_call(value, "relax.reshape")
    if not is_reshape and not is_call(value, "relax.permute_dims"):
        return None
    dequantize = graph.call_of(value.args[0], "relax.dequantize")
    if dequantize is None or not all(is_constant(arg) for arg in dequantize.args):
        return None
    array = dequantize.args[0].value.numpy()
    axis: int | None = int(dequantize.attrs.axis) % max(array.ndim, 1)
    if is_reshape:
        shape = [int(size) for size in relax.BlockBuilder().normalize(value).ty.shape]
        moved = array.reshape(shape)
        if dequantize.args[1].value.numpy().size > 1:
            axis = _axis_after_reshape(list(array.shape), shape, int(axis or 0))
    else:
        axes = value.attrs.axes
        order = [int(at) for at in axes] if axes is not None else list(range(array.ndim))[::-1]
        moved = array.transpose(order)
        axis = order.index(int(axis or 0))
    if axis is None:
        return None
    scale, zero_point = (
        relax.const(arg.value.numpy().reshape(()), str(arg.ty.dtype))
        if arg.value.numpy().size == 1  # also where it is written as [1]
        else arg
        for arg in dequantize.args[1:]
    )
    return relax.op.dequantize(
        relax.const(moved.copy(), str(dequantize.args[0].ty.dtype)),
        scale,
        zero_point,
        axis=axis,
        out_dtype=str(dequantize.attrs.out_dtype),
    )


@tvm.transform.module_pass(opt_level=0, name="MoveDequantize")
def move_dequantize(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Shape quantised constants before they are dequantised."""
    return rewrite_bindings(module, _rule)
