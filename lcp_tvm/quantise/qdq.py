"""Accepts models that another tool quantised, where VTA can run their scales."""

from __future__ import annotations

import tvm
from tvm import relax

from lcp_tvm.quantise.graph import op_name
from lcp_tvm.relay_passes.power_of_two import read_fraction_bits


def is_qdq(module: tvm.IRModule) -> bool:
    """Whether ``main`` quantises anything."""
    return any(
        op_name(binding.value) in ("quantize", "dequantize")
        for block in module["main"].body.blocks
        for binding in block.bindings
    )


def check_qdq(module: tvm.IRModule) -> None:
    """Refuse scales that are no powers of two, zero points other than 0, types other than int8.

    Raises
    ------
    ModelError
        Naming the tensor, its scale and the nearest power of two.
    """
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if op_name(binding.value) in ("quantize", "dequantize"):
                read_fraction_bits(binding.value, _tensor(binding))


def _tensor(binding: relax.Binding) -> str:
    """The tensor as the model names it: what is quantised, else what dequantising gives."""
    source = binding.value.args[0]
    return str(source.name if isinstance(source, tvm.ir.Var) else binding.var.name)
