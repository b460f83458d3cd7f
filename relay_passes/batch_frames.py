"""A network of one frame -> the same of several: what is loaded once serves all of them.

main(x: [1, C, H, W])          =>  main(x: [N, C, H, W])
lv = reshape(conv, [1, K])         lv = reshape(conv, [N, K])

Axis 0 of every tensor counts frames; constants stay as they are.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import ModelError
from lcp_tvm.relay_passes.rewrite import (
    Graph,
    is_call,
    replace_input,
    short_name,
    straight_line,
)

_SHAPED = {"relax.reshape": R.reshape, "relax.broadcast_to": R.broadcast_to}
"""Operators that say the shape of their result."""


def batch_frames(module: tvm.IRModule, frames: int) -> tvm.IRModule:
    """Return a module whose ``main`` takes so many frames at a time.

    Raises
    ------
    ModelError
        An operator mixes frames, or cannot be computed for several.
    """
    (old,) = module["main"].params
    _, *picture = map(int, old.ty.shape)
    param = relax.Var(old.name, relax.TensorType((frames, *picture), old.ty.dtype))

    def reshaped(graph: Graph, name: str, value: Any) -> Any:
        for op, make in _SHAPED.items():
            if is_call(value, op):
                first, *sizes = map(int, value.args[1])
                if first != 1:
                    raise ModelError(_refusal(frames, _mixes(name, value)))
                return make(value.args[0], (frames, *sizes))
        return None

    single = {binding.var.name: binding.var.ty for binding in straight_line(module)[1]}
    try:
        batched = replace_input(module, param, lambda graph: param, reshaped)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(_refusal(frames, str(error).strip().splitlines()[-1])) from error
    for binding in straight_line(batched)[1]:
        before = _shapes(single[binding.var.name])
        wanted = [(frames, *shape[1:]) if shape[:1] == (1,) else None for shape in before]
        if _shapes(binding.var.ty) != wanted:
            raise ModelError(_refusal(frames, _mixes(binding.var.name, binding.value)))
    return batched


def _refusal(frames: int, reason: str) -> str:
    return f"{frames} frames cannot be computed together: {reason}; compile for one at a time"


def _mixes(name: str, value: Any) -> str:
    return f"{short_name(value)} {name} mixes frames"


def _shapes(ty: Any) -> list[tuple[int, ...]]:
    """Shapes of a tensor, or of several."""
    tensors = ty.fields if isinstance(ty, relax.TupleType) else [ty]
    return [tuple(map(int, tensor.shape)) for tensor in tensors]
