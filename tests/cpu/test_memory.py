"""What a call takes besides its arguments and constants is known when it is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R
from tvm.script import tirx as T

from lcp_tvm import native
from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.memory import lower
from lcp_tvm.cpu.target import parse_target
from tests.cpu.float_nets import Body, Layers, float_net
from tests.cpu.judge.resident import in_new_process, pages_taken, piece

SIZE = 100


@T.prim_func(private=True, s_tir=True)
def scale(x: T.Buffer((SIZE,), "float32"), y: T.Buffer((SIZE,), "float32")):
    with T.sblock("root"):
        scratch = T.sblock_alloc_buffer((50,), "int16")
        for i in range(SIZE):
            with T.sblock("scaled"):
                at = T.axis.spatial(SIZE, i)
                scratch[0] = T.int16(2)
                y[at] = x[at] * T.cast(scratch[0], "float32")


def called() -> tvm.IRModule:
    """Maps in a row, one of them also reshaped; the last but one and the last are results."""
    builder = relax.BlockBuilder()
    kernel = builder.add_func(scale, "scale")
    flat = relax.TensorType((SIZE,), "float32")

    def scaled(x: Any) -> relax.Var:
        return builder.emit(relax.call_tir(kernel, (x,), flat))

    x = relax.Var("x", flat)
    with builder.function("main", [x]):
        with builder.dataflow():
            second = scaled(scaled(x))
            square = builder.emit(R.reshape(second, (10, 10)))
            third = scaled(second)
            fourth = scaled(builder.emit(R.add(builder.emit(R.reshape(square, (SIZE,))), third)))
            last = scaled(fourth)
            results = [builder.emit(R.reshape(fourth, (10, 10))), last]
            output = builder.emit_output(relax.Tuple(results))
        builder.emit_func_output(output)
    return builder.get()


MAP = 448
"""Bytes from one to the next of them."""


def test_maps_share_a_workspace_and_results_have_memory_of_their_own() -> None:
    """At most two maps are there and the one that is made of them; two results."""
    lowered, sizes = lower(called())
    assert sizes == {"main": 3 * MAP + 2 * 4 * SIZE + 100}
    text = lowered["main"].script()
    assert text.count('"lcp_tvm.WorkspaceMap"') == 4
    assert text.count("R.vm.alloc_storage") == 2


def test_what_is_computed_in_a_workspace_is_right() -> None:
    """Results of calls before stay as they are."""
    native.load()
    compiled = tvm.compile(lower(called())[0], "llvm", relax_pipeline=None)
    machine = relax.VirtualMachine(compiled, tvm.cpu())
    x = np.arange(SIZE, dtype=np.float32)
    results = [machine["main"](tvm.runtime.tensor(x + shift)) for shift in range(3)]
    for shift, (result, last) in enumerate(results):
        np.testing.assert_array_equal(result.numpy().reshape(-1), 24 * (x + shift))
        np.testing.assert_array_equal(last.numpy(), 48 * (x + shift))


def test_frames_take_no_new_memory_but_their_results(tmp_path: Path) -> None:
    shape = (1, 16, 512, 512)
    x = np.ones(shape, np.float32)
    library = tmp_path / "net.so"
    compiled(lambda emit, x: mean_of(emit, emit.biased(emit.biased(x, 32), 32)), shape, library)
    first, *later = in_new_process(pages_taken, library, x)
    pages = 32 * 512 * 512 * 4 // 4096
    assert first > 2 * pages, "or this counts nothing"
    assert max(later) < pages // 8, "a map"
    # Of few calls: a system that is short of memory takes pages of code, and gives them back.
    assert np.median(later) < 20, "anything else"


def compiled(body: Body, shape: tuple[int, ...], library: Path) -> int:
    """Compile a function called ``network``; return the bytes that are planned for a call."""
    module = float_net(body, shape)
    module["network"] = module["main"].with_attr("global_symbol", "network")
    del module["main"]
    (planned,) = build_module(module, parse_target("cpu"), library).values()
    return planned


def mean_of(emit: Layers, x: Any) -> Any:
    return emit(R.mean(x, [2, 3], keepdims=True))


@pytest.mark.parametrize("pooled", [False, True])
def test_it_is_what_a_process_grows_by(pooled: bool, tmp_path: Path) -> None:
    """Beside it are the input, the result of the call before, which TVM keeps, and 5 MB of code.

    Maps of more than 32 MB go back to the system as soon as they are freed.
    """

    def body(emit: Layers, x: relax.Var) -> relax.Expr:
        y = emit.biased(x, 16)
        y = emit(R.nn.relu(emit(R.add(emit.biased(y, 16, 1), y))))
        return emit(R.nn.max_pool2d(y, (2, 2), (2, 2))) if pooled else emit.biased(y, 16)

    shape = (1, 16, 768, 768)
    x = np.ones(shape, np.float32)
    library = tmp_path / "net.so"
    planned = compiled(body, shape, library)
    assert x.nbytes < planned < 8 * x.nbytes
    result = x.nbytes // 4 if pooled else x.nbytes
    assert abs(in_new_process(piece, library, x) - (planned + x.nbytes + result) / 1e6) < 5
