"""Parameters, multiply-accumulates and layers of a float Relax module, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import tvm

KINDS = {
    "relax.nn.conv2d": "c",
    "relax.matmul": "fc",
    "relax.nn.max_pool2d": "p",
    "relax.mean": "p",
}
"""Letters of LCP, Table 2."""


@dataclass(frozen=True)
class Count:
    """What LCP, Tables 2 and 3, list of a network."""

    params: int
    macs: int
    layers: dict[str, int]


def count(module: tvm.IRModule) -> Count:
    """Count ``main``: every constant is parameters; a weight works once per pixel it makes."""
    params = macs = 0
    layers: dict[str, int] = {}
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            call: Any = binding.value
            if not isinstance(call, tvm.ir.Call):
                continue
            name = call.op.name
            if name in KINDS:
                layers[KINDS[name]] = layers.get(KINDS[name], 0) + 1
            for operand in call.args:
                if isinstance(operand, tvm.ir.GenericConst):
                    params += prod(map(int, operand.value.shape))
            if name == "relax.nn.conv2d":
                macs += prod(map(int, call.args[1].value.shape)) * prod(_sizes(binding.var)[2:])
            elif name == "relax.matmul":
                macs += prod(map(int, call.args[1].value.shape))
    return Count(params, macs, layers)


def _sizes(var: Any) -> list[int]:
    return [int(size) for size in var.ty.shape]
