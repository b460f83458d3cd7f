"""Relax modules of a few operators, and what onnxruntime makes of pictures with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import tvm
from numpy.typing import NDArray

from lcp_tvm.frontend.export import to_onnx
from tests.quantise.float_builder import Floats

Array = NDArray[np.float32]

SHAPE = (1, 4, 6, 6)


def module_of(compute: Callable[[Any], Any], shape: tuple[int, ...] = SHAPE) -> tvm.IRModule:
    """Return a module whose ``main`` binds each nested call of ``compute(x)``."""
    return Floats(*shape).build(lambda floats: compute(floats.x))


def one_by_one(module: tvm.IRModule, pictures: Array) -> Array:
    """Return what onnxruntime computes for each picture alone."""
    options = onnxruntime.SessionOptions()
    # Else QDQ operators are fused into kernels that saturate on processors without VNNI.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(module).SerializeToString(), options)
    name = session.get_inputs()[0].name
    results = [session.run(None, {name: pictures[i : i + 1]})[0] for i in range(len(pictures))]
    return np.concatenate(results)
