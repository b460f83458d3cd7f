"""Quantised networks over blocked kernels compute the integers that numpy computes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.block_int8 import block_int8
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.dot import DOTS
from lcp_tvm.cpu.fuse import fuse_kernels
from lcp_tvm.cpu.templates import choose
from tests.cpu.integer_nets import Body, Layers, integer_net
from tests.cpu.kernels.levels import VNNI, target_of
from tests.cpu.test_block import kernels_of
from tests.reference import evaluate


def blocked(module: tvm.IRModule, level: str = "x86-64-v2") -> tvm.IRModule:
    dot = DOTS[level]
    return block_int8(module, dot, partial(choose, core=CORES[level]))


def judge(module: tvm.IRModule, level: str) -> None:
    """See that a network's results are numpy's after the rewrite."""
    (param,) = module["main"].params
    rng, shape = np.random.default_rng(1), [int(size) for size in param.ty.shape]
    x = rng.integers(-128, 128, shape).astype(str(param.ty.dtype))
    if x.dtype == np.float32:
        x /= 16
    expected = evaluate(module, x)
    compiled = tvm.compile(fuse_kernels(blocked(module, level)), target=target_of(level))
    results = relax.VirtualMachine(compiled, tvm.cpu())["main"](tvm.runtime.tensor(x))
    several = isinstance(expected, tuple)
    for result, wanted in zip(results, expected, strict=True) if several else [(results, expected)]:
        np.testing.assert_array_equal(result.numpy(), wanted)


def residual(net: Layers, x: Any) -> Any:
    first = net.finish(net.conv(net.entry(x), 20), low=0)
    second = net.finish(net.conv(first, 20), low=0)
    sums = net(R.add(net.conv(second, 20), net.wide(first, 7)))
    return net.exit(net.finish(sums))


def two_convolutions_added(net: Layers, x: Any) -> Any:
    first = net.leaky(net.conv(net.entry(x), 7))
    down = net.finish(net.conv(first, 18, 1, strides=2, padding=0))
    sums = net(R.add(net.wide(down, 8), net.conv(first, 18, strides=2)))
    return net.exit(net.finish(sums, low=0))


def maps_added(net: Layers, x: Any) -> Any:
    stem = net.finish(net.conv(net.entry(x), 17))
    sums = net(R.add(net.wide(stem, 2), net.wide(net.finish(net.conv(stem, 17, 1)))))
    return net.exit(net.finish(net(R.add(sums, net.number(2))), 2))


def classifier(net: Layers, x: Any) -> Any:
    y = net.finish(net.conv(net.entry(x), 16), low=0)
    y = net(R.nn.max_pool2d(y, (3, 3), (2, 2), (1, 1, 1, 1)))
    y = net.finish(net.conv(y, 16, groups=16), 7, low=0)
    y = net(R.concat([y, net.finish(net.conv(y, 32, 1))], axis=1))
    y = net.mean(y)
    return net.exit(net.dense(net(R.reshape(y, (1, 48))), 7))


def inner_values_are_results(net: Layers, x: Any) -> Any:
    stem = net.entry(x)
    sums = net.conv(stem, 9)
    made = net.finish(sums)
    return stem, sums, made, net.finish(net.conv(made, 4, dilation=2, padding=2)), made


def what_has_no_kernel(net: Layers, x: Any) -> Any:
    y = net.finish(net.conv(net.entry(x), 12))
    y = net.finish(net.conv(y, 24, groups=3))
    y = net(R.nn.pad(y, [0, 0, 0, 0, 1, 0, 0, 2]))
    return net.finish(net.conv(y, 5))


def picture_read_in_two_forms(net: Layers, x: Any) -> Any:
    y = net.entry(x)
    return net.finish(net.conv(y, 8)), net.finish(net.conv(y, 3, groups=3))


NETWORKS: dict[str, Body] = {
    body.__name__: body
    for body in (
        residual,
        two_convolutions_added,
        maps_added,
        classifier,
        inner_values_are_results,
        what_has_no_kernel,
        picture_read_in_two_forms,
    )
}


@pytest.mark.parametrize("level", ["x86-64-v2", VNNI])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_the_same_integers(name: str, level: str) -> None:
    judge(integer_net(NETWORKS[name]), level)


def test_a_piece_of_a_network_reads_and_writes_int8() -> None:
    def body(net: Layers, x: Any) -> Any:
        sums = net(R.add(net.conv(x, 20), net.wide(x, 6)))
        return net.finish(sums)

    judge(integer_net(body, (2, 20, 7, 6), "int8"), "x86-64-v3")


@settings(max_examples=10)
@given(st.data())
def test_networks_of_any_layers_compute_the_same(data: st.DataObject) -> None:
    layers: dict[str, Callable[[Layers, Any, int], Any]] = {
        "conv": lambda net, y, size: net.finish(net.conv(y, size, 1 + size % 3)),
        "strided": lambda net, y, size: net.leaky(net.conv(y, size, strides=(1, 2))),
        "deep": lambda net, y, size: net.finish(
            net.conv(y, int(y.ty.shape[1]), groups=int(y.ty.shape[1])), 1 + size % 9
        ),
        "pool": lambda net, y, size: net(R.nn.max_pool2d(y, (2, 2), (1, 1), (1, 0, 0, 1))),
        "skip": lambda net, y, size: net.finish(
            net(R.add(net.conv(y, int(y.ty.shape[1])), net.wide(y, size % 9)))
        ),
        "join": lambda net, y, size: net(R.concat([y, net.finish(net.conv(y, 16, 1))], axis=1)),
        "clip": lambda net, y, size: net.finish(net.wide(y, 1), 1, low=0),
    }
    chosen = data.draw(
        st.lists(st.tuples(st.sampled_from(sorted(layers)), st.integers(1, 21)), max_size=5)
    )

    def body(net: Layers, x: Any) -> Any:
        y = net.entry(x)
        for name, size in chosen:
            y = layers[name](net, y, size)
        return net.exit(y)

    judge(integer_net(body), "x86-64-v2")


def test_a_layer_is_one_kernel_and_a_picture_is_quantised_into_blocks() -> None:
    conv = "int8_conv2d"
    made = kernels_of(blocked(integer_net(residual)))
    assert made == ["quantise", conv, conv, conv, "int8_unblock", "astype", "multiply"]


def test_a_classifier_leaves_its_blocks_behind_the_mean() -> None:
    assert kernels_of(blocked(integer_net(classifier))) == [
        "quantise",
        "int8_conv2d",
        "int8_max_pool",
        "int8_conv2d",
        "int8_conv2d",
        "int8_concat",
        "int8_sum",
        "int8_unblock",
        "reshape",
        "int8_dense",
        "astype",
        "multiply",
    ]


def test_a_function_of_floats_stays() -> None:
    module = integer_net(lambda net, x: net(R.nn.relu(x)))
    tvm.ir.assert_structural_equal(blocked(module), module)
