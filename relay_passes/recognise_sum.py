"""Give ONNX's Sum back its additions; the importer stacks the operands first.

sum(stack((a, b, c), axis=0), axis=0)  ->  add(add(a, b), c)
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_call, rewrite_bindings


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if not is_call(value, "relax.sum") or value.attrs.axis is None or value.attrs.keepdims:
        return None
    stack = graph.call_of(value.args[0], "relax.stack")
    if stack is None or not isinstance(stack.args[0], relax.Tuple):
        return None
    axis = int(stack.attrs.axis or 0)
    if axis != 0 or [int(axis) for axis in value.attrs.axis] != [0]:
        return None
    terms = []
    for field in stack.args[0].fields:
        broadcast = graph.call_of(field, "relax.broadcast_to")
        terms.append(field if broadcast is None else broadcast.args[0])  # add broadcasts itself
    total = terms[0]
    for number, term in enumerate(terms[1:], start=2):
        total = relax.op.add(total, term)
        if number < len(terms):
            total = graph.emit_operand(total, name)
    return total


@tvm.transform.module_pass(opt_level=0, name="RecogniseSum")
def recognise_sum(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite sums over a stack to additions."""
    return rewrite_bindings(module, _rule)
