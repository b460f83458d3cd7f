"""Scales of quantize and dequantize: read as fraction bits, or refused by name."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.errors import ModelError


def fraction_bits(scale: float) -> int | None:
    """The ``f`` with ``scale == 2**-f``, or None where the scale is no power of two."""
    if not (math.isfinite(scale) and scale > 0.0):
        return None
    mantissa, exponent = math.frexp(scale)
    return 1 - exponent if mantissa == 0.5 else None


def nearest_power_of_two(scale: float) -> float:
    """The power of two closest to a positive ``scale`` on a logarithmic axis."""
    return 2.0 ** round(math.log2(scale))


def read_fraction_bits(call: relax.Call, tensor: str) -> int:
    """Fraction bits of an ``R.quantize`` or ``R.dequantize`` call on ``tensor``.

    Raises
    ------
    ModelError
        If the scale is not constant, differs between channels or is not a power of two, if the
        zero point is not 0, or if the quantised type is neither int8 nor (for a bias) int32.
    """
    _, scale, zero_point = call.args
    if not (isinstance(scale, tvm.ir.GenericConst) and isinstance(zero_point, tvm.ir.GenericConst)):
        raise ModelError(
            f"tensor {tensor}: its scale or zero point is computed at run time; only constants can "
            "be compiled, so quantise the model statically"
        )
    scales = np.asarray(scale.value.numpy(), np.float64).reshape(-1)
    if np.any(scales != scales[0]):
        raise ModelError(
            f"tensor {tensor}: its scales differ between channels ({scales.min():g} to "
            f"{scales.max():g}); VTA shifts a whole tensor alike, so quantise it per tensor"
        )
    if np.any(zero_point.value.numpy() != 0):
        raise ModelError(
            f"tensor {tensor}: zero point {int(zero_point.value.numpy().reshape(-1)[0])} found, "
            "only 0 can be compiled; quantise symmetrically"
        )
    _refuse_other_types(call, tensor)
    bits = fraction_bits(float(scales[0]))
    if bits is None:
        nearest = ""
        if math.isfinite(scales[0]) and scales[0] > 0:
            nearest = f"; the nearest is {nearest_power_of_two(float(scales[0])):g}"
        raise ModelError(
            f"tensor {tensor}: scale {scales[0]:.9g} is not a power of two{nearest}; requantise "
            "the model with power-of-two scales, or give the float model with --calibrate"
        )
    return bits


def _refuse_other_types(call: relax.Call, tensor: str) -> None:
    """int8 everywhere; int32 for what is only dequantised (a bias)."""
    quantises = call.op == tvm.ir.Op.get("relax.quantize")
    found = str(call.ty.dtype if quantises else call.args[0].ty.dtype)
    allowed = ["int8"] if quantises else ["int8", "int32"]
    if found not in allowed:
        raise ModelError(
            f"tensor {tensor}: quantised to {found}, only {' or '.join(allowed)} can be compiled; "
            "quantise it to signed 8 bits"
        )
