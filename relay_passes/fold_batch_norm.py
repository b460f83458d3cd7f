"""Turn batch norm into what it is at inference: a factor and an offset per channel.

    batch_norm(x, gamma, beta, mean, var)[0]  ->  add(multiply(x, s), t)
    s = gamma / sqrt(var + epsilon),  t = beta - mean * s          const[1, C, 1, 1]

``fold_scale`` then moves both into the convolution or dense layer before, if there is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.channel import CHANNEL_AXIS, channel_constant
from lcp_tvm.relay_passes.rewrite import Graph, is_constant, rewrite_bindings


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if not isinstance(value, relax.TupleGetItem) or value.index != 0:
        return None
    norm = graph.call_of(value.tuple_value, "relax.nn.batch_norm")
    if norm is None:
        return None
    x, *statistics = norm.args
    if not all(is_constant(operand) for operand in statistics):
        raise ModelError(
            f"{name}: batch norm whose statistics are computed or quantised; they must be float "
            f"constants (fold batch norm before quantising a model)"
        )
    if norm.attrs.training:
        raise ModelError(f"{name}: batch norm in training mode; export the model for inference")
    if int(norm.attrs.axis) != CHANNEL_AXIS or len(x.ty.shape) not in (2, 4):
        return None
    gamma, beta, mean, var = (array.value.numpy().astype(np.float64) for array in statistics)
    scale = gamma / np.sqrt(var + float(norm.attrs.epsilon))
    rank = len(x.ty.shape)
    # Not called multiply: fold_scale may turn it into the convolution before.
    scaled = graph.emit(relax.op.multiply(x, channel_constant(scale, rank)), f"{name}_scaled")
    return relax.op.add(scaled, channel_constant(beta - mean * scale, rank))


@tvm.transform.module_pass(opt_level=0, name="FoldBatchNorm")
def fold_batch_norm(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Rewrite batch norm to a multiplication and an addition per channel."""
    return rewrite_bindings(module, _rule)
