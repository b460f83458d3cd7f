"""Which weights several functions of a module read, as tiles do."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.relay_passes.rewrite import is_constant, short_name


def shared_weights(module: tvm.IRModule) -> frozenset[bytes]:
    """Return the digests of weights of convolutions that more than one function reads."""
    readers: Counter[bytes] = Counter()
    for function in module.functions.values():
        if isinstance(function, relax.Function):
            readers.update(_weights_of(function))
    return frozenset(one for one, count in readers.items() if count > 1)


def digest(weight: Any) -> bytes:
    """Return what equal constants have in common."""
    return hashlib.sha256(weight.value.numpy().tobytes()).digest()


def _weights_of(function: relax.Function) -> set[bytes]:
    found: set[bytes] = set()

    def note(expr: relax.Expr) -> None:
        if isinstance(expr, relax.Call) and short_name(expr) == "conv2d":
            weight = expr.args[1]
            if is_constant(weight):
                found.add(digest(weight))

    relax.analysis.post_order_visit(function, note)
    return found
