"""Constants that hold one value per channel, in whatever shape a model writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import relax

from lcp_tvm.relay_passes.rewrite import is_constant

CHANNEL_AXIS = 1  # of [N, C, H, W] and of [N, K]


def channel_vector(constant: Any, data: Any) -> NDArray[np.float64] | None:
    """Return the [C] values that ``constant`` broadcasts along the channels of ``data``.

    None where it is no float32 constant, varies along another axis, or would change the shape.
    """
    if not is_constant(constant) or str(constant.ty.dtype) != "float32":
        return None
    shape = [int(size) for size in data.ty.shape]
    array = constant.value.numpy()
    if len(shape) not in (2, 4) or array.ndim > len(shape):
        return None
    sizes = (1,) * (len(shape) - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(sizes) if axis != CHANNEL_AXIS):
        return None
    if sizes[CHANNEL_AXIS] not in (1, shape[CHANNEL_AXIS]):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (shape[CHANNEL_AXIS],))


def channel_constant(values: NDArray[Any], rank: int) -> Any:
    """Return [C] values as the constant of the canonical form: [1, C, 1, 1], or [C] for rank 2."""
    shape = (1, -1, 1, 1) if rank == 4 else (-1,)
    return relax.const(np.asarray(values, np.float32).reshape(shape))


def scalar_value(constant: Any) -> float | None:
    """Return the value of a constant with one element, or None."""
    if not is_constant(constant) or constant.value.numpy().size != 1:
        return None
    return float(constant.value.numpy().reshape(()))
