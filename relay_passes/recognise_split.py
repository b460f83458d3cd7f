"""Take parts of a tensor one by one, which every split of a network knows how to do.

split(x, 2, axis=1)[1]  ->  strided_slice(x, [1], [C / 2], [C])
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, rewrite_bindings


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if not isinstance(value, relax.TupleGetItem):
        return None
    split = graph.call_of(value.tuple_value, "relax.split")
    if split is None:
        return None
    axis = int(split.attrs.axis) % len(split.args[0].ty.shape)
    sizes = [int(field.shape[axis]) for field in split.ty.fields]
    ends = list(accumulate(sizes))
    begin, end = ends[value.index] - sizes[value.index], ends[value.index]
    return relax.op.strided_slice(split.args[0], [axis], [begin], [end])


@tvm.transform.module_pass(opt_level=0, name="RecogniseSplit")
def recognise_split(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite the parts of a split that are read to slices."""
    return rewrite_bindings(module, _rule)
