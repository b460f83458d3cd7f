"""A network as both contenders run it: our compiled piece, and a session of onnxruntime."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import tvm
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from tvm import relax

from lcp_tvm import native

Array = npt.NDArray[Any]
Program = Callable[[], list[Array]]
"""Runs once on the same inputs; returns its outputs."""


_ERRORS = 3
"""What it logs: below, it warns of constants that a model has and does not read."""


class Piece:
    """The shared library of a package's module, loaded and called as `lcp-agent` does it."""

    def __init__(self, library: Path) -> None:
        native.load()
        # As the agent has it: results go back to the system (native/worker).
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
    options.log_severity_level = _ERRORS
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def integer_model(model: onnx.ModelProto, x: Array) -> onnx.ModelProto:
    """A float model as onnxruntime's own tools quantise it best for x86, as QDQ.

    Activations are uint8, weights int8; without batch normalisations and with biases inside the
    convolutions, as it needs them to run these as integers.
    """
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = Path(folder, "plain.onnx"), Path(folder, "quantised.onnx")
        _optimise(model, level, plain)
        quantize_static(
            plain,
            quantised,
            _Calibration(model.graph.input[0].name, x),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantised)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """One picture."""

    def __init__(self, name: str, x: Array) -> None:
        self._feeds = iter([{name: x}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def _optimise(
    model: onnx.ModelProto, level: onnxruntime.GraphOptimizationLevel, path: Path
) -> None:
    """Write the model that onnxruntime makes of one."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path)
    options.log_severity_level = _ERRORS
    providers = ["CPUExecutionProvider"]
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def integer_layers(model: onnx.ModelProto) -> tuple[int, int]:
    """How many of a model's convolutions onnxruntime runs as integers, and how many there are."""
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optimised.onnx")
        _optimise(model, level, path)
        kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    integer = kinds["QLinearConv"]
    return integer, integer + kinds["Conv"] + kinds["FusedConv"]


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
