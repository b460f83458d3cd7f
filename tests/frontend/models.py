"""Small ONNX models for the tests of the frontend, and how to run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array] = {},
    *,
    shape: Sequence[int | str | None] = (1, 3, 8, 8),
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    inputs: Sequence[str] = ("x",),
    dtype: int = onnx.TensorProto.FLOAT,
) -> onnx.ModelProto:
    """Return a model whose inputs all have ``shape``."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, dtype, shape) for name in inputs],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return onnx.shape_inference.infer_shapes(proto)  # the checker wants shapes of outputs


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    """Write a model to ``folder/net.onnx``."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def run(proto: onnx.ModelProto, x: Array) -> list[Array]:
    """Return onnxruntime's outputs for the only input."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    results: list[Array] = session.run(None, {session.get_inputs()[0].name: x})
    return results


def random_input(shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    """Return standard normal values."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
