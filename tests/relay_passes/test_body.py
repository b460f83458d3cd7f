"""Bodies name every variable once."""

from __future__ import annotations

import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.body import Body


def test_names_that_are_taken_get_a_number() -> None:
    """The input, a tensor and the result would all be called "result"."""
    x = relax.Var("result", relax.TensorType((1, 4), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        builder.emit_func_output(x)
    module = builder.finalize()
    body = Body(module["main"])
    y = body.emit(R.nn.relu(module["main"].params[0]), "result")
    made = body.into(module, R.add(y, y))
    (block,) = made["main"].body.blocks
    assert [binding.var.name for binding in block.bindings] == ["result_2", "result_3"]
    assert made["main"].body.body.name == "result_3"
    assert isinstance(made, tvm.IRModule)
