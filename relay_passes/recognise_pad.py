"""Give constant padding back its operator; the importer makes a loop of it.

    call_tir(pad, x)  ->  nn.pad(x, pad_width, value)

Reflecting and edge padding stay loops: they run on the CPU as they are.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, topi

from lcp_tvm.relay_passes.prim_func import computes, nodes_of, prim_func_of
from lcp_tvm.relay_passes.rewrite import Graph, rewrite_bindings


def _offset(index: Any) -> int:
    """Return n of an index ``i - n``."""
    if isinstance(index, tvm.tirx.Sub) and isinstance(index.b, tvm.tirx.IntImm):
        return int(index.b.value)
    return 0


def _rule(graph: Graph, name: str, value: Any) -> Any:
    function = prim_func_of(graph, value, "pad")
    if function is None or len(value.args[1].fields) != 1:
        return None
    (x,) = value.args[1].fields
    loads = nodes_of(function, tvm.ir.expr.TensorLoad)
    literals = nodes_of(function, tvm.tirx.FloatImm)
    if len(loads) != 1 or len(literals) != 1:
        return None
    before = [_offset(index) for index in loads[0].indices]
    sizes = zip(before, value.ty_args[0].shape, x.ty.shape, strict=True)
    after = [int(out) - int(size) - begin for begin, out, size in sizes]
    if min(after) < 0 or not computes(function, topi.nn.pad, x, before, after, literals[0].value):
        return None
    width = [n for pair in zip(before, after, strict=True) for n in pair]
    return relax.op.nn.pad(x, width, pad_value=literals[0].value)


@tvm.transform.module_pass(opt_level=0, name="RecognisePad")
def recognise_pad(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite loops that pad with a constant to ``R.nn.pad``."""
    return rewrite_bindings(module, _rule)
