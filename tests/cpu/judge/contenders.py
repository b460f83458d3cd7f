"""A network as both contenders run it: our compiled piece, and a session of onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import tvm
from tvm import relax

Array = npt.NDArray[Any]
Program = Callable[[], list[Array]]
"""Runs once on the same inputs; returns its outputs."""


class Piece:
    """The shared library of a package's module, loaded and called as `lcp-agent` does it."""

    def __init__(self, library: Path) -> None:
        # As the agent has it: memory of a call goes back to the system (native/worker).
        code = tvm.runtime.load_module(str(library))
        self._machine = relax.VirtualMachine(code, tvm.cpu(), memory_cfg="naive")

    def program(self, function: str, inputs: Sequence[Array]) -> Program:
        """A function on fixed inputs."""
        call = self._machine[function]
        tensors = [tvm.runtime.tensor(x, tvm.cpu()) for x in inputs]

        def run() -> list[Array]:
            result = call(*tensors)
            results = [result] if isinstance(result, tvm.runtime.Tensor) else result
            return [np.from_dlpack(tensor) for tensor in results]

        return run


def session(model: onnx.ModelProto | Path, threads: int) -> onnxruntime.InferenceSession:
    """Return onnxruntime as a careful user sets it up: all optimisations, so many threads."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; it warns of constants that a model has and not reads
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def onnx_program(runtime: onnxruntime.InferenceSession, inputs: Mapping[str, Array]) -> Program:
    """A session on fixed inputs."""
    names = [output.name for output in runtime.get_outputs()]
    feeds = dict(inputs)
    return lambda: runtime.run(names, feeds)


def relative_error(result: Array, expected: Array) -> float:
    """The largest difference, relative to the largest element."""
    if result.shape != expected.shape:
        raise ValueError(f"shape {result.shape} where {expected.shape} is expected")
    return float(np.abs(result - expected).max() / np.abs(expected).max())
