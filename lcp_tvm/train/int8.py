"""A quantised network in torch, on many pictures at once, with the bits that VTA computes.

    QDQ Relax --lower_qdq--> integer Relax --> torch

Sums of products are made in floating point, which torch does fastest. They are exact: whole numbers
below 2^24 (float32) or 2^53 (float64) add up to the same in any order, and a layer's weights say
how large its sums can get.
"""

from __future__ import annotations

import numpy as np
import torch
import tvm
from tvm import relax

from lcp_tvm.quantise.graph import op_name
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.train import operators
from lcp_tvm.train.operators import Builder, Function
from lcp_tvm.train.products import build_product
from lcp_tvm.train.torch_network import TorchNetwork

_FLOAT32_EXACT = 1 << 24
_LARGEST = 128  # magnitude of an int8 number


def integer_network(module: tvm.IRModule) -> TorchNetwork:
    """Return the network that `lcp_tvm.compiler` makes of a QDQ module, for the CPU.

    It has nothing to train: its answers are those of the compiled network on any target.

    Raises
    ------
    ModelError
        As `lower_qdq`, or an operator has no torch form.
    """
    return TorchNetwork(lower_qdq(module), build)


def build(name: str, call: relax.Call) -> Function:
    """Return the torch form of a call of integer Relax.

    Raises
    ------
    ModelError
        The operator, or an attribute of it, has no torch form.
    """
    whole = not np.issubdtype(np.dtype(str(call.ty.dtype)), np.floating)
    builder = _BUILDERS.get(op_name(call), operators.build) if whole else operators.build
    return builder(name, call)


def _product(name: str, call: relax.Call) -> Function:
    product = build_product(name, call)
    weight = np.abs(call.args[1].value.numpy().astype(np.int64))
    others = tuple(axis for axis in range(weight.ndim) if axis != product.axis)
    largest = _LARGEST * weight.sum(axis=others).max()
    real = torch.float32 if largest <= _FLOAT32_EXACT else torch.float64
    return lambda x, w: product.compute(x.to(real), w.to(real), None).to(torch.int32)


def _pool(name: str, call: relax.Call) -> Function:
    # Padding is minus infinity, which whole numbers do not have.
    pool = operators.build(name, call)
    narrow = str(call.ty.dtype) == "int8"
    real = torch.float32 if narrow else torch.float64
    return lambda x: pool(x.to(real)).to(x.dtype)


def _clip(name: str, call: relax.Call) -> Function:
    low, high = (int(bound.value) for bound in call.args[1:3])
    return lambda x: torch.clamp(x, low, high)


def _sum(name: str, call: relax.Call) -> Function:
    total = operators.build(name, call)  # torch adds in int64
    return lambda x: total(x).to(x.dtype)


_BUILDERS: dict[str, Builder] = {
    "clip": _clip,
    "left_shift": lambda _name, _call: torch.bitwise_left_shift,
    "matmul": _product,
    "nn.conv2d": _product,
    "nn.conv2d_transpose": _product,
    "nn.max_pool2d": _pool,
    "right_shift": lambda _name, _call: torch.bitwise_right_shift,  # arithmetic, as Relax's
    "sum": _sum,
}
