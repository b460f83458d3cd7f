"""What a call takes besides its arguments and constants is known when it is compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tvm.relax import op as R
from tvm.script import ir as I
from tvm.script import relax as RS
from tvm.script import tirx as T

from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.memory import planned_bytes
from lcp_tvm.cpu.target import parse_target
from tests.cpu.float_nets import Layers, float_net
from tests.cpu.judge.resident import peak_mb, piece


@I.ir_module
class Lowered:
    """A map and the same reshaped in a storage; then another storage; then a third."""

    @T.prim_func(private=True, s_tir=True)
    def scale(x: T.Buffer((25,), "float32"), y: T.Buffer((25,), "float32")):
        with T.sblock("root"):
            scratch = T.sblock_alloc_buffer((50,), "int16")
            for i in range(25):
                with T.sblock("scaled"):
                    at = T.axis.spatial(25, i)
                    scratch[at] = T.int16(2)
                    y[at] = x[at] * T.cast(scratch[at], "float32")

    @RS.function(pure=False)
    def main(x: RS.Tensor((25,), "float32")) -> RS.Tensor((25,), "float32"):
        cls = Lowered
        a = RS.vm.alloc_storage(RS.shape([1000]), 0, RS.dtype("uint8"))
        first = RS.vm.alloc_tensor(a, 0, RS.shape([25]), RS.dtype("float32"))
        cls.scale(x, first)
        second = RS.call_packed(
            "vm.builtin.reshape", first, RS.shape([25]), ty_args=RS.Tensor((25,), "float32")
        )
        _ = RS.vm.kill_object(a)
        _1 = RS.vm.kill_object(first)
        b = RS.vm.alloc_storage(RS.shape([100]), 0, RS.dtype("uint8"))
        third = RS.vm.alloc_tensor(b, 0, RS.shape([25]), RS.dtype("float32"))
        cls.scale(second, third)
        _2 = RS.vm.kill_object(second)
        c = RS.vm.alloc_storage(RS.shape([500]), 0, RS.dtype("uint8"))
        fourth = RS.vm.alloc_tensor(c, 0, RS.shape([25]), RS.dtype("float32"))
        cls.scale(third, fourth)
        return fourth


def test_a_storage_is_there_until_its_last_map_is_killed() -> None:
    """1000 and 100 at a time, never 500 with 1000; and a kernel's 50 numbers of two bytes."""
    assert planned_bytes(Lowered) == {"main": 1000 + 100 + 100}


@pytest.mark.parametrize("pooled", [False, True])
def test_it_is_what_a_process_grows_by(pooled: bool, tmp_path: Path) -> None:
    """Beside it are the input, the result of the call before, which TVM keeps, and 5 MB of code.

    Maps of more than 32 MB go back to the system as soon as they are freed.
    """

    def body(emit: Layers, x: object) -> object:
        y = emit.biased(x, 16)
        y = emit(R.nn.relu(emit(R.add(emit.biased(y, 16, 1), y))))
        return emit(R.nn.max_pool2d(y, (2, 2), (2, 2))) if pooled else emit.biased(y, 16)

    shape = (1, 16, 768, 768)
    x = np.ones(shape, np.float32)
    library = tmp_path / "net.so"
    module = float_net(body, shape)
    module["network"] = module["main"].with_attr("global_symbol", "network")
    del module["main"]
    (planned,) = build_module(module, parse_target("cpu"), library).values()
    assert x.nbytes < planned < 8 * x.nbytes
    result = x.nbytes // 4 if pooled else x.nbytes
    assert abs(peak_mb(piece, library, x) - (planned + x.nbytes + result) / 1e6) < 5
