"""How a pass is judged: by the module it makes, and by what both modules compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import tvm
from numpy.typing import NDArray

from lcp_tvm.frontend.export import to_onnx


def run(module: tvm.IRModule, seed: int = 0) -> NDArray[Any]:
    """Return what ``main`` computes, by onnxruntime, for a standard normal input."""
    proto = to_onnx(module)
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(seed).standard_normal(shape, np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    result: NDArray[Any] = session.run(None, {proto.graph.input[0].name: x})[0]
    return result


def assert_rewrites(
    apply: tvm.transform.Pass, before: tvm.IRModule, expected: tvm.IRModule
) -> None:
    """``apply`` turns ``before`` into ``expected``, and both compute the same."""
    after = apply(before)
    tvm.ir.assert_structural_equal(after, expected, map_free_vars=True)
    np.testing.assert_allclose(run(after), run(before), rtol=1e-5, atol=1e-5)


def assert_leaves(apply: tvm.transform.Pass, module: tvm.IRModule) -> None:
    """``apply`` changes nothing."""
    tvm.ir.assert_structural_equal(apply(module), module, map_free_vars=True)
