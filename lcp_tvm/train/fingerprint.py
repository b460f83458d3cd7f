"""What a training is made of, as short texts by which it is recognised."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
from torch import Tensor

from lcp_tvm.train.torch_network import TorchNetwork

DIGITS = 16


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
    return digest.hexdigest()[:DIGITS]


def of_network(network: TorchNetwork) -> str:
    """Return a digest of its operators and of all parameters and constants, in order."""
    numbers = of_tensors(*network.parameters(), *network.buffers())
    return hashlib.sha256(f"{network.text} {numbers}".encode()).hexdigest()[:DIGITS]
