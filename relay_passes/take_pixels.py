"""A network of values -> the same of pixels: what comes from a camera is a quarter of the bytes.

main(x: float32)  =>  main(x: uint8):  v = (astype(x, float32) * scale - mean) / std
                                       main's body of v
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.rewrite import Graph, replace_input


def take_pixels(
    module: tvm.IRModule, scale: float, mean: Sequence[float], std: Sequence[float]
) -> tvm.IRModule:
    """Return a module whose ``main`` takes uint8 [1, C, H, W].

    Parameters
    ----------
    mean, std : per channel, or one for all.
    """
    (old,) = module["main"].params
    pixels = relax.Var(old.name, relax.TensorType(old.ty.shape, "uint8"))

    def normalise(graph: Graph) -> Any:
        value = graph.emit(R.astype(pixels, "float32"), "pixels")
        steps = ((R.multiply, (scale,), 1.0), (R.subtract, mean, 0.0), (R.divide, std, 1.0))
        for operator, operand, nothing in steps:
            if any(number != nothing for number in operand):
                constant = np.array(operand, np.float32).reshape(1, -1, 1, 1)
                value = graph.emit(operator(value, relax.const(constant)), "normalised")
        return value

    return replace_input(module, pixels, normalise)
