"""Runs a split with numpy, and holds its result to that of the whole network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm

from lcp_tvm.plan.run import run_plan
from lcp_tvm.plan.validate import validate
from lcp_tvm.relay_passes.split import Split
from tests.reference import evaluate, evaluate_all

Array = np.ndarray[Any, Any]


def assert_same_function(split: Split, module: tvm.IRModule, seed: int = 0) -> None:
    """Outputs equal for int8, for float networks within 1e-5 of the largest value in them.

    Partial sums that are sent are rounded by a share of their size, not by one of the output's,
    in which they may cancel.
    """
    validate(split.plan)
    functions = split.module()
    tensor = split.plan.tensors[split.plan.inputs[0]]
    x = np.random.default_rng(seed).uniform(-1, 1, tensor.shape).astype(np.float32)

    def call(name: str, arguments: Sequence[Array]) -> list[Array]:
        return _results(evaluate(tvm.IRModule({"main": functions[name]}), *arguments))

    wanted = _results(evaluate(module, x))
    integer = any(node.dtype == "int8" for node in split.graph.nodes)
    values = {} if integer else evaluate_all(module, x)
    largest = max((np.abs(value).max() for value in values.values()), default=0)
    for fallback in (False, True):
        got = run_plan(split.plan, call, {split.plan.inputs[0]: x}, fallback=fallback)
        for name, want in zip(split.plan.outputs, wanted, strict=True):
            if integer:
                np.testing.assert_array_equal(got[name], want)
            else:
                np.testing.assert_allclose(got[name], want, rtol=0, atol=1e-5 * largest)


def _results(value: Any) -> list[Array]:
    return list(value) if isinstance(value, tuple) else [value]
