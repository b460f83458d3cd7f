"""Compute with numpy what depends on constants only.

    reshape(const[C], [1, C, 1, 1])  ->  const[1, C, 1, 1]
    permute_dims(const[N, K])        ->  const[K, N]

TVM's own FoldConstant would also turn ``dequantize(int8 weights)`` into float weights; a QDQ
network must keep the integers its author chose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.relay_passes.rewrite import Graph, is_constant, operands_of, rewrite_bindings

Array = NDArray[Any]
Folder = Callable[[Any, list[Array]], Array]


def _by_numpy(function: Callable[..., Array]) -> Folder:
    return lambda call, arrays: function(*arrays)


def _reshape(call: Any, arrays: list[Array]) -> Array:
    return arrays[0].reshape([int(size) for size in call.ty.shape])


def _broadcast_to(call: Any, arrays: list[Array]) -> Array:
    return np.broadcast_to(arrays[0], [int(size) for size in call.ty.shape])


def _fill(value: int) -> Folder:
    return lambda call, arrays: np.full([int(size) for size in call.ty.shape], value)


def _permute_dims(call: Any, arrays: list[Array]) -> Array:
    axes = call.attrs.axes
    return arrays[0].transpose(None if axes is None else [int(axis) for axis in axes])


def _concat(call: Any, arrays: list[Array]) -> Array:
    return np.concatenate(arrays, axis=int(call.attrs.axis or 0))


FOLDERS: dict[str, Folder] = {
    "relax.add": _by_numpy(np.add),
    "relax.astype": _by_numpy(np.asarray),
    "relax.broadcast_to": _broadcast_to,
    "relax.concat": _concat,
    "relax.divide": _by_numpy(np.divide),
    "relax.expand_dims": _reshape,
    "relax.flatten": _reshape,
    "relax.full": _broadcast_to,
    "relax.isnan": _by_numpy(np.isnan),
    "relax.multiply": _by_numpy(np.multiply),
    "relax.negative": _by_numpy(np.negative),
    "relax.ones": _fill(1),
    "relax.permute_dims": _permute_dims,
    "relax.power": _by_numpy(np.power),
    "relax.reshape": _reshape,
    "relax.sqrt": _by_numpy(np.sqrt),
    "relax.squeeze": _reshape,
    "relax.subtract": _by_numpy(np.subtract),
    "relax.where": _by_numpy(np.where),
    "relax.zeros": _fill(0),
}


def _rule(graph: Graph, name: str, value: Any) -> Any:
    if not isinstance(value, relax.Call) or not isinstance(value.op, tvm.ir.Op):
        return None
    folder, operands = FOLDERS.get(value.op.name), operands_of(value)
    if folder is None or not all(is_constant(operand) for operand in operands):
        return None
    call = relax.BlockBuilder().normalize(value)
    if call.ty.shape is None or not all(isinstance(n, tvm.tirx.IntImm) for n in call.ty.shape):
        return None
    array = folder(call, [operand.value.numpy() for operand in operands])
    return relax.const(np.ascontiguousarray(array.astype(str(call.ty.dtype))).reshape(array.shape))


@tvm.transform.module_pass(opt_level=0, name="FoldConstantKeepQuantised")
def fold_constant(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Replace calls of ``FOLDERS`` on constants by their results."""
    return rewrite_bindings(module, _rule)
