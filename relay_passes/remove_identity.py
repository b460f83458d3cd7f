"""Remove what changes nothing at inference.

dropout(x)[0]            ->  x
reshape(x, shape of x)   ->  x        (broadcast_to, permute_dims, astype, pad alike)
concat((x,))             ->  x
max_pool2d(x, 1x1)       ->  x
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax
from tvm_ffi import structural_equal

from lcp_tvm.relay_passes.rewrite import Graph, rewrite_bindings


def _same_type(value: Any) -> bool:
    call = relax.BlockBuilder().normalize(value)
    return bool(structural_equal(call.ty, call.args[0].ty))


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if isinstance(value, relax.TupleGetItem):
        dropout = graph.call_of(value.tuple_value, "relax.nn.dropout")
        return dropout.args[0] if dropout is not None and value.index == 0 else None
    if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.Op):
        return None
    match value.op.name:
        case "relax.reshape" | "relax.broadcast_to" | "relax.astype" | "relax.squeeze":
            nothing = _same_type(value)
        case "relax.permute_dims":
            axes = value.attrs.axes
            nothing = axes is not None and list(axes) == list(range(len(axes)))
        case "relax.nn.pad":
            nothing = not any(int(width) for width in value.attrs.pad_width)
        case "relax.nn.max_pool2d" | "relax.nn.avg_pool2d":
            nothing = list(value.attrs.pool_size) == [1, 1] and _same_type(value)
        case "relax.concat":
            fields = list(value.args[0].fields) if isinstance(value.args[0], relax.Tuple) else []
            return fields[0] if len(fields) == 1 else None
        case _:
            nothing = False
    return value.args[0] if nothing else None


@tvm.transform.module_pass(opt_level=0, name="RemoveIdentity")
def remove_identity(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Let readers of an identity read its operand."""
    return rewrite_bindings(module, _rule)
