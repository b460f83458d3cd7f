"""What a training is made of, as short texts by which it is recognised."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
from torch import Tensor, nn


def of_fields(values: Any) -> dict[str, str]:
    """Return each field of a dataclass by the name it has for users."""
    return {
        field.name.replace("_", " "): repr(getattr(values, field.name)) for field in fields(values)
    }


def of_tensors(*tensors: Tensor | None) -> str:
    """Return a digest of types, shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            array = np.ascontiguousarray(tensor.detach().cpu().numpy())
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(array.data)
        digest.update(b";")
    return digest.hexdigest()[:16]


def of_network(network: nn.Module) -> str:
    """Return a digest of all parameters and buffers, in order."""
    return of_tensors(*network.state_dict().values())
