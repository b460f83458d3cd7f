"""The functions of every kind of split compile with TVM, and compute what numpy does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.plan.run import Array, CallFunction, run_plan
from lcp_tvm.relay_passes.network_graph import NetworkGraph, read_graph
from lcp_tvm.relay_passes.piece import Part, carve
from lcp_tvm.relay_passes.recipe_function import recipe_module
from lcp_tvm.relay_passes.split import Split
from lcp_tvm.relay_passes.split_ftp import split_ftp
from lcp_tvm.relay_passes.split_layers import split_layers
from lcp_tvm.relay_passes.split_pipeline import split_pipeline
from lcp_tvm.relay_passes.split_strips import split_strips
from lcp_tvm.relay_passes.split_whole import split_whole
from tests.reference import evaluate
from tests.relay_passes.spatial_networks import Net

pytestmark = pytest.mark.slow

SPLITS: dict[str, Callable[[NetworkGraph], Split]] = {
    "whole": lambda graph: split_whole(graph, "net"),
    "output": lambda graph: split_layers(graph, "net", 2),
    "input": lambda graph: split_layers(graph, "net", 2, mode="input"),
    "spatial": lambda graph: split_layers(graph, "net", 2, mode="spatial"),
    "strips": lambda graph: split_strips(graph, "net", 2),
    "pipeline": lambda graph: split_pipeline(graph, "net", 2),
    "ftp": lambda graph: split_ftp(graph, "net", (1, 2), reuse=True),
}


def compiled(module: tvm.IRModule) -> CallFunction:
    """The functions of a module, in TVM's virtual machine on this CPU."""
    target = tvm.target.Target({"kind": "llvm"})
    machine = relax.VirtualMachine(tvm.compile(module, target=target), tvm.cpu())

    def call(name: str, arguments: Sequence[Array]) -> list[Array]:
        result = machine[name](*(tvm.runtime.tensor(argument) for argument in arguments))
        return [result.numpy()] if hasattr(result, "numpy") else [part.numpy() for part in result]

    return call


def network(integer: bool) -> tvm.IRModule:
    """A residual block, a fork, a pool and a dense layer."""

    def body(net: Net, h: Any) -> Any:
        h = net.residual(net.conv(h, 4))
        h = net.concat(net.conv(h, 3), net.conv(h, 2, (1, 1), 1, (0,) * 4))
        return net.head(net.pool(h, 2, 2, 0))

    return Net(3, 9, 9, integer).build(body)


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("kind", SPLITS)
def test_compiled_functions_compute_the_network(kind: str, integer: bool) -> None:
    module = network(integer)
    split = SPLITS[kind](read_graph(module))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 9, 9)).astype(np.float32)
    wanted = evaluate(module, x)
    call = compiled(split.module())
    for fallback in (False, True):
        (result,) = run_plan(split.plan, call, {"image": x}, fallback=fallback).values()
        if integer:
            np.testing.assert_array_equal(result, wanted)
        else:
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def normalised_and_shuffled() -> tvm.IRModule:
    """Local response normalisation, and a channel shuffle, as the importer writes them."""

    def body(net: Net, h: Any) -> Any:
        emit = net.builder.emit
        h = net.conv(h, 6)
        squares = emit(R.reshape(emit(R.multiply(h, h)), (1, 1, 6, 8, 8)))
        mean = emit(R.nn.avg_pool3d(squares, (5, 1, 1), padding=(2, 0, 0, 2, 0, 0)))
        scale = emit(R.exp(emit(R.reshape(mean, (1, 6, 8, 8)))))
        h = net.conv(emit(R.divide(h, scale)), 6)
        groups = emit(R.reshape(h, (1, 2, 3, 8, 8)))
        h = emit(R.reshape(emit(R.permute_dims(groups, (0, 2, 1, 3, 4))), (1, 6, 8, 8)))
        return net.conv(h, 6, depthwise=True)

    return Net(3, 8, 8).build(body)


@pytest.mark.parametrize("kind", SPLITS)
def test_what_moves_channels_about_keeps_its_rows(kind: str) -> None:
    module = normalised_and_shuffled()
    split = SPLITS[kind](read_graph(module))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
    wanted = evaluate(module, x)
    (result,) = run_plan(split.plan, compiled(split.module()), {"image": x}).values()
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_strips_of_what_moves_channels_about_read_one_row_around_them() -> None:
    plan = split_strips(read_graph(normalised_and_shuffled()), "net", 2).plan
    assert [task.reads[0].box[2] for task in plan.tasks] == [(0, 5), (3, 8)] * 3


def test_a_result_may_be_an_argument_or_a_crop_of_it_and_come_twice() -> None:
    graph = read_graph(Net(2, 4, 4).build(lambda net, h: net.conv(h, 2)))
    all_of_it = ((0, 1), (0, 2), (0, 4), (0, 4))
    rows = ((0, 1), (0, 2), (1, 3), (0, 4))
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    for boxes in ([all_of_it], [all_of_it, rows], [rows, all_of_it, rows]):
        piece = carve(graph, [Part(0, box) for box in boxes], {0})
        results = compiled(recipe_module(graph, {"f": piece.recipe}))("f", [x])
        for result, box in zip(results, boxes, strict=True):
            np.testing.assert_array_equal(result, x[tuple(slice(*side) for side in box)])
