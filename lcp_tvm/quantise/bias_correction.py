"""The mean that rounding adds to a layer's output, taken off its bias.

Rounded weights differ from the float ones by ``e``; with inputs of mean ``m`` per channel the
output is off by ``sum(e * m)`` on average. After Nagel et al., arXiv 1906.04721, section 4.2.
Padding is ignored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.quantise.graph import Layer
from lcp_tvm.quantise.threshold import dequantise_array, quantise_array


def correct_bias(layer: Layer, bits: int, input_mean: NDArray[np.float64]) -> Layer:
    """The layer with its bias corrected for weights of ``bits`` fraction bits.

    ``input_mean`` has one entry per channel of the layer's input (dense: per row of weights).
    """
    rounded = dequantise_array(quantise_array(layer.weight, bits), bits)
    error = rounded - layer.weight
    if layer.op == "dense":
        shift = input_mean.astype(np.float32) @ error
    else:
        per_channel = error.sum(axis=(2, 3), dtype=np.float64)  # [O, I/groups]
        means = np.repeat(
            input_mean.reshape(layer.groups, -1), len(per_channel) // layer.groups, axis=0
        )
        shift = (per_channel * means).sum(axis=1) / layer.phases
    return replace(layer, bias=(layer.bias - shift).astype(np.float32))
