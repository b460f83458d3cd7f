"""Crops stand right behind what they crop, so that the whole of it need not be kept.

    y = conv2d(x); z = conv2d(y); a = strided_slice(y); b = strided_slice(z)
    =>
    y = conv2d(x); a = strided_slice(y); z = conv2d(y); b = strided_slice(z)

The functions of tiles that share overlaps end with a crop of nearly every map.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import is_call


@tvm.transform.module_pass(opt_level=0, name="CropEarly")
def crop_early(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Move every crop of a value that its block computes."""
    moved = module.clone()
    builder = relax.BlockBuilder()
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            blocks = [_moved(block) for block in function.body.blocks]
            body = builder.normalize(relax.SeqExpr(blocks, function.body.body))
            moved[name] = relax.Function(
                function.params, body, function.ret_ty, function.is_pure, function.attrs
            )
    return moved


def _moved(block: Any) -> Any:
    if not isinstance(block, relax.DataflowBlock):
        return block
    computed = {binding.var for binding in block.bindings}
    crops: dict[relax.Var, list[Any]] = defaultdict(list)
    others: list[Any] = []
    for binding in block.bindings:
        source = _cropped(binding)
        (crops[source] if source in computed else others).append(binding)
    bindings: list[Any] = []

    def place(binding: Any) -> None:
        bindings.append(binding)
        for crop in crops[binding.var]:
            place(crop)

    for binding in others:
        place(binding)
    return relax.DataflowBlock(bindings)


def _cropped(binding: Any) -> Any:
    """Return what a binding crops, or None."""
    return binding.value.args[0] if is_call(binding.value, "relax.strided_slice") else None
