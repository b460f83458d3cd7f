"""Kernels share their work among threads, and give the same bits with any number of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.relax import op as R
from tvm.s_tir import SBlock
from tvm.s_tir.transform import PlanAndUpdateBufferAllocationLocation

from tests.cpu.float_nets import Layers, float_net
from tests.cpu.kernels.levels import target_of
from tests.cpu.test_block import blocked, kernels_of

LEVEL = "x86-64-v2"
SHARE_ALL_CORES = -3  # TVM's number for threads that are bound to no core


def in_threads(count: int, run: Callable[[], Any]) -> Any:
    """Return what a thread with a pool of so many returns."""
    done = []

    def work() -> None:
        cores = sorted(os.sched_getaffinity(0))
        ids = [str(cores[number % len(cores)]) for number in range(count)]
        tvm.get_global_func("runtime.config_threadpool")(SHARE_ALL_CORES, count, ids)
        assert tvm.get_global_func("runtime.NumThreads")() == count
        done.append(run())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (result,) = done
    return result


def every(kind: type, statement: Any) -> list[Any]:
    """Return all nodes of a kind in a statement."""
    found: list[Any] = []
    tvm_ffi.structural_walk(statement, (kind, found.append))
    return found


def every_kernel(net: Layers, x: Any) -> Any:
    y = net(R.nn.relu(net.biased(x, 8)))
    y = net(R.nn.relu(net.biased(y, 8)))
    y = net(R.nn.max_pool2d(y, (2, 2), (2, 2)))
    y = net(R.add(net.biased(y, 8), y))
    y = net(R.concat([net.conv(y, 8, groups=8), net.biased(y, 8, 5, strides=1)], axis=1))
    mean = net(R.mean(y, [2, 3], keepdims=True))
    return y, net.dense(net.flat(mean), 9)


@pytest.fixture(scope="module")
def machine() -> relax.VirtualMachine:
    module = blocked(float_net(every_kernel, (1, 3, 32, 32)), LEVEL)
    # The first has chunks enough for threads, the second is shared chunk by chunk.
    winograd = [name for name in kernels_of(module) if name.startswith("winograd")]
    assert winograd == ["winograd_conv2d_pool", "winograd_conv2d"]
    return relax.VirtualMachine(tvm.compile(module, target=target_of(LEVEL)), tvm.cpu())


def test_no_thread_has_registers_of_another() -> None:
    """Local buffers that a parallel loop writes are allocated in it."""
    module = blocked(float_net(every_kernel, (1, 3, 32, 32)), LEVEL)
    kernels = {v: f for v, f in module.functions.items() if isinstance(f, tirx.PrimFunc)}
    placed = PlanAndUpdateBufferAllocationLocation()(tvm.IRModule(kernels))
    loops = [loop for f in placed.functions.values() for loop in every(tirx.For, f.body)]
    parallel = [loop.body for loop in loops if loop.kind == tirx.ForKind.PARALLEL]
    assert len(parallel) > len(kernels)
    for body in parallel:
        own = {buffer for block in every(SBlock, body) for buffer in block.alloc_buffers}
        written = {store.buffer for store in every(tirx.BufferStore, body)}
        assert {buffer for buffer in written if buffer.scope() == "local"} <= own


@pytest.mark.parametrize("count", [2, 3])
def test_the_bits_are_those_of_one_thread(machine: relax.VirtualMachine, count: int) -> None:
    x = tvm.runtime.tensor(np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype("float32"))

    def run() -> list[bytes]:
        return [result.numpy().tobytes() for result in machine["main"](x)]

    assert in_threads(count, run) == in_threads(1, run)
