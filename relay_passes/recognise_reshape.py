"""Write everything that keeps the elements in order as one reshape.

squeeze(x), expand_dims(x), flatten(x)  ->  reshape(x, shape)
reshape(reshape(x))                     ->  reshape(x, shape)
reshape(x, shape of x)                  ->  x
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_call, rewrite_bindings

_KEEP_ORDER = ("relax.reshape", "relax.squeeze", "relax.expand_dims", "relax.flatten",
               "relax.nn.batch_flatten")  # fmt: skip


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if not any(is_call(value, op) for op in _KEEP_ORDER):
        return None
    shape = relax.BlockBuilder().normalize(value).ty.shape
    if shape is None or not all(isinstance(size, tvm.tirx.IntImm) for size in shape):
        return None
    x = value.args[0]
    while (inner := graph.call_of(x, "relax.reshape")) is not None:
        x = inner.args[0]
    sizes = [int(size) for size in shape]
    return x if sizes == [int(size) for size in x.ty.shape] else relax.op.reshape(x, sizes)


@tvm.transform.module_pass(opt_level=0, name="RecogniseReshape")
def recognise_reshape(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite operators that keep the elements in order to one reshape."""
    return rewrite_bindings(module, _rule)
