"""The same bits from the same training, and torch as it was before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic

_MEMORY: Any = torch.utils.deterministic  # its attributes are made when it is imported


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Compute with so many threads and kernels that always give the same bits.

    cuBLAS gives the same bits with a workspace of fixed size alone, which the environment says.
    New memory is not filled, which would take a tenth of the time: no kernel here reads it.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = _MEMORY.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    _MEMORY.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        _MEMORY.fill_uninitialized_memory = filled


def best_device() -> torch.device:
    """Return the CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
