"""Networks over blocked kernels compute what numpy computes of the networks as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.block import block_layouts
from lcp_tvm.cpu.choose import choose_conv
from lcp_tvm.cpu.constants import take_constants
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.fuse import fuse_kernels
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.float_nets import Layers, float_net
from tests.cpu.kernels.levels import target_of
from tests.reference import evaluate

RELATIVE = 1e-5
"""Of the largest element; sums of other orders."""


def blocked(
    module: tvm.IRModule, level: str = "x86-64-v2", choose: Callable[..., Any] = choose_conv
) -> tvm.IRModule:
    core = CORES[level]
    return block_layouts(module, core.lanes, lambda conv: choose(conv, core))


def kernels_of(module: tvm.IRModule) -> list[str]:
    """Kernels that main calls, in order, without what tells those of a name apart."""
    values = [one.value for block in module["main"].body.blocks for one in block.bindings]
    calls = [value for value in values if isinstance(value, relax.Call)]
    return [
        call.args[0].name_hint.rstrip("0123456789").rstrip("_")
        if call.op == tvm.ir.Op.get("relax.call_tir")
        else call.op.name.removeprefix("relax.")
        for call in calls
    ]


def judge(module: tvm.IRModule, level: str, seed: int = 1) -> None:
    """See that a network's results are numpy's after the rewrite."""
    shape = [int(size) for size in module["main"].params[0].ty.shape]
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    expected = evaluate(module, x)
    compiled = tvm.compile(fuse_kernels(blocked(module, level)), target=target_of(level))
    results = relax.VirtualMachine(compiled, tvm.cpu())["main"](tvm.runtime.tensor(x))
    several = isinstance(expected, tuple)
    pairs = zip(results, expected, strict=True) if several else [(results, expected)]
    for result, wanted in pairs:
        assert np.abs(result.numpy() - wanted).max() <= RELATIVE * max(np.abs(wanted).max(), 1e-3)


def residual(net: Layers, x: Any) -> Any:
    first = net(R.nn.relu(net.biased(x, 20)))
    second = net.biased(net(R.nn.relu(net.biased(first, 20))), 20)
    return net(R.nn.relu(net(R.add(second, first))))


def two_convolutions_added(net: Layers, x: Any) -> Any:
    first = net(R.nn.relu(net.biased(x, 7)))
    down = net.biased(first, 18, 1, strides=2, padding=0)
    return net(R.nn.relu(net(R.add(net.biased(first, 18, 3, strides=2), down))))


def picture_added(net: Layers, x: Any) -> Any:
    return net(R.add(net.biased(net(R.nn.relu(net.biased(x, 8))), 3), x))


def picture_read_in_two_forms(net: Layers, x: Any) -> Any:
    return net.conv(x, 8), net.conv(x, 3, groups=3)


def several_readers(net: Layers, x: Any) -> Any:
    stem = net(R.nn.relu(net.biased(x, 16)))
    wide, narrow = net.biased(stem, 16, 5), net.biased(stem, 16, 1)
    joined = net(R.concat([wide, narrow, stem], axis=1))
    return net.biased(joined, 5, 3, strides=2), net(R.nn.max_pool2d(stem, (2, 2), (2, 2)))


def channels_that_fill_no_block(net: Layers, x: Any) -> Any:
    joined = net(R.concat([net.biased(x, 5), net.biased(x, 6)], axis=1))
    return net.biased(joined, 3)


def a_constant_beside_a_map(net: Layers, x: Any) -> Any:
    return net(R.concat([net.biased(x, 16), net.constant(1, 16, 11, 9)], axis=1))


def inner_values_are_results(net: Layers, x: Any) -> Any:
    sums = net.conv(x, 9)
    active = net(R.nn.leakyrelu(sums, 0.1))
    return sums, active, net.biased(active, 4), active


def pools_and_a_classifier(net: Layers, x: Any) -> Any:
    y = net(R.clip(net.biased(x, 17), 0, 6))
    y = net(R.nn.max_pool2d(y, (3, 3), (2, 2), (1, 1, 1, 1)))
    y = net(R.nn.avg_pool2d(y, (3, 2), (2, 1), (1, 0, 1, 1), count_include_pad=True))
    y = net(R.nn.relu(net.conv(y, 17, groups=17)))
    y = net(R.mean(y, [2, 3], keepdims=True))
    return net(R.nn.softmax(net.dense(net.flat(y), 7)))


def pools_right_behind(net: Layers, x: Any) -> Any:
    """Windows that leave out a row and a column; a depthwise convolution; one with two readers."""
    y = net(R.nn.max_pool2d(net(R.nn.relu(net.biased(x, 40))), (2, 2), (2, 2)))
    y = net(R.nn.max_pool2d(net.conv(y, 40, groups=40), (1, 3), (1, 3)))
    y = net.biased(y, 16, 1)
    return y, net(R.nn.max_pool2d(y, (2, 1), (2, 1)))


def pools_behind_winograd(net: Layers, x: Any) -> Any:
    """Windows of a tile's results that leave out a row and a column; one that no tile has whole."""
    y = net(R.nn.relu(net.biased(x, 16)))
    y = net(R.nn.max_pool2d(net(R.nn.leakyrelu(net.biased(y, 32), 0.1)), (2, 2), (2, 2)))
    return net(R.nn.max_pool2d(net.biased(y, 16), (1, 3), (1, 3)))


def crops(net: Layers, x: Any) -> Any:
    """Of rows and columns; of channels too; every second column."""
    y = net(R.nn.relu(net.biased(x, 20)))
    part = net(R.strided_slice(y, [2, 3], [1, 2], [9, 8]))
    few = net(R.strided_slice(y, [1, 3], [3, 2], [17, 8]))
    return part, few, net(R.strided_slice(y, [3], [1], [9], [2])), net.biased(y, 8)


def crops_from_the_end(net: Layers, x: Any) -> Any:
    """And from before the beginning, which ONNX takes for the beginning."""
    y = net(R.nn.relu(net.biased(x, 20)))
    end = net(R.strided_slice(y, [2, 3], [-5, -4], [-1, -1]))
    return end, net(R.strided_slice(y, [2, 3], [-100, 1], [4, 5])), net.biased(y, 8)


def ceil_pools(net: Layers, x: Any) -> Any:
    y = net.biased(x, 6)
    how: dict[str, Any] = {"ceil_mode": True, "strides": (2, 2)}
    return net(R.nn.max_pool2d(y, (4, 2), **how)), net(R.nn.avg_pool2d(y, (4, 2), **how))


def ceil_pools_that_count_padding(net: Layers, x: Any) -> Any:
    """ONNX's average divides by what of a window is padding, but not by what is beyond."""
    y = net.biased(x, 6)
    how: dict[str, Any] = {"ceil_mode": True, "count_include_pad": True, "strides": (2, 2)}
    return net(R.nn.avg_pool2d(y, (3, 3), padding=(1, 1, 1, 0), **how))


def mean_of_everything(net: Layers, x: Any) -> Any:
    return net(R.mean(net.biased(x, 6)))


def dense_layers_added(net: Layers, x: Any) -> Any:
    flat = net.flat(x)
    return net(R.nn.relu(net(R.add(net.dense(flat, 5), net.dense(flat, 5)))))


def a_map_times_its_gate(net: Layers, x: Any) -> Any:
    y = net.biased(x, 12)
    pooled = net(R.mean(y, [2, 3], keepdims=True))
    gate = net(R.sigmoid(net.biased(pooled, 12, 1)))
    return net.biased(net(R.multiply(y, gate)), 4, 1)


def a_sum_with_itself(net: Layers, x: Any) -> Any:
    y = net.biased(x, 6)
    return net.biased(net(R.add(y, y)), 6)


def scaled_and_shifted(net: Layers, x: Any) -> Any:
    y = net(R.multiply(net.conv(x, 6), net.constant(6, 1, 1)))
    y = net(R.add(net.constant(1, 6, 1, 1), y))
    y = net(R.multiply(y, relax.const(np.float32(0.5))))
    return net(R.multiply(y, net.constant(1, 6, 11, 9)))


def a_convolution_of_constants(net: Layers, x: Any) -> Any:
    return net(R.add(net.biased(net.constant(1, 3, 11, 9), 4), net.biased(x, 4)))


NETWORKS = (
    residual,
    two_convolutions_added,
    picture_added,
    picture_read_in_two_forms,
    several_readers,
    channels_that_fill_no_block,
    a_constant_beside_a_map,
    inner_values_are_results,
    pools_and_a_classifier,
    pools_right_behind,
    pools_behind_winograd,
    crops,
    crops_from_the_end,
    ceil_pools,
    ceil_pools_that_count_padding,
    mean_of_everything,
    dense_layers_added,
    a_map_times_its_gate,
    a_sum_with_itself,
    scaled_and_shifted,
    a_convolution_of_constants,
)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v4"])
@pytest.mark.parametrize("body", NETWORKS, ids=lambda body: body.__name__)
def test_a_network_computes_the_same(body: Any, level: str) -> None:
    judge(float_net(body), level)


def test_a_pool_is_in_the_kernel_of_winograd_where_tiles_have_whole_windows() -> None:
    made = kernels_of(blocked(float_net(pools_behind_winograd), "x86-64-v4"))
    assert made.count("winograd_conv2d_pool") == 1
    assert made.count("pool") == 0


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v4"])
def test_functions_of_maps_of_other_sizes_share_weights(level: str) -> None:
    """Each is stored once, however each function computes: in tiles of any size, pooled."""

    def body(net: Layers, x: Any) -> Any:
        y = net(R.nn.max_pool2d(net(R.nn.relu(net.biased(x, 32))), (2, 2), (2, 2)))
        return net.biased(net.biased(y, 160), 48, 1)

    functions = {
        name: float_net(body, (1, 3, *size))["main"].with_attr("global_symbol", name)
        for name, size in {"large": (64, 70), "small": (7, 9), "narrow": (40, 4)}.items()
    }
    _, constants = take_constants(blocked(tvm.IRModule(functions), level))
    assert sorted(one.nbytes for one in constants) == [32 * 27 * 4, 160 * 48 * 4, 32 * 160 * 36]
    compiled = tvm.compile(
        fuse_kernels(blocked(tvm.IRModule(functions), level)), target=target_of(level)
    )
    machine = relax.VirtualMachine(compiled, tvm.cpu())
    for name, function in functions.items():
        shape = [int(size) for size in function.params[0].ty.shape]
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        expected = evaluate(tvm.IRModule({"main": function}), x)
        result = machine[name](tvm.runtime.tensor(x)).numpy()
        assert np.abs(result - expected).max() <= RELATIVE * np.abs(expected).max()


@st.composite
def random_nets(draw: Any) -> tvm.IRModule:
    """Return a network whose layers read any maps before them, with one to three results."""
    steps = draw(st.lists(st.sampled_from(list(LAYERS)), min_size=3, max_size=9))
    picks = st.integers(0, 99)
    chosen = [(step, draw(picks), draw(picks), draw(st.integers(1, 9))) for step in steps]
    results = draw(st.lists(picks, min_size=1, max_size=3))

    def body(net: Layers, x: Any) -> Any:
        made = [x]
        for step, first, second, size in chosen:
            # Later maps are read more often than the picture.
            made.append(LAYERS[step](net, made[-1 - first % len(made)], made, second, size))
        return [made[1 + one % (len(made) - 1)] for one in results]

    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 6)), 7, 6)
    return float_net(body, shape, draw(st.integers(0, 99)))


def _added(net: Layers, x: Any, made: list[Any], second: int, size: int) -> Any:
    alike = [one for one in made if list(one.ty.shape) == list(x.ty.shape)]
    return net(R.add(x, alike[second % len(alike)]))


def _joined(net: Layers, x: Any, made: list[Any], second: int, size: int) -> Any:
    alike = [one for one in made if list(one.ty.shape)[2:] == list(x.ty.shape)[2:]]
    return net(R.concat([x, alike[second % len(alike)]], axis=1))


LAYERS: dict[str, Callable[..., Any]] = {
    "conv": lambda net, x, made, second, size: net.conv(x, size, 1 + second % 3),
    "biased": lambda net, x, made, second, size: net.biased(x, 4 * (1 + size % 3)),
    "strided": lambda net, x, made, second, size: net.conv(x, size, strides=(1, 2)),
    "depthwise": lambda net, x, made, second, size: net.conv(
        x, int(x.ty.shape[1]), groups=int(x.ty.shape[1])
    ),
    "relu": lambda net, x, made, second, size: net(R.nn.relu(x)),
    "leaky": lambda net, x, made, second, size: net(R.nn.leakyrelu(x, 0.1)),
    "tanh": lambda net, x, made, second, size: net(R.tanh(x)),
    "scaled": lambda net, x, made, second, size: net(
        R.multiply(net.constant(int(x.ty.shape[1]), 1, 1), x)
    ),
    "pool": lambda net, x, made, second, size: net(
        R.nn.max_pool2d(x, (2, 2), (1, 1), (1, 0, 0, 1))
    ),
    "add": _added,
    "concat": _joined,
}


@settings(max_examples=12)
@given(random_nets())
def test_networks_of_any_layers_compute_the_same(module: tvm.IRModule) -> None:
    judge(module, "x86-64-v2")


def test_a_residual_network_is_one_kernel_a_convolution() -> None:
    """Bias, sum and ReLU are inside; maps change their form at the edges alone."""
    conv = "blocked_conv2d"
    assert kernels_of(blocked(float_net(residual), choose=choose_tile)) == [
        "block",
        conv,
        conv,
        conv,
        "unblock",
    ]


def test_a_pool_right_behind_a_convolution_is_in_its_kernel() -> None:
    """Its map is never written down, unless somebody else reads it."""
    assert kernels_of(blocked(float_net(pools_right_behind), choose=choose_tile)) == [
        *("block", "blocked_conv2d_pool", "blocked_conv2d_pool", "blocked_conv2d"),
        *("pool", "unblock", "unblock"),
    ]


def test_a_classifier_goes_back_to_plain_numbers_behind_the_mean() -> None:
    assert kernels_of(blocked(float_net(pools_and_a_classifier), choose=choose_tile)) == [
        "block",
        "blocked_conv2d",
        "pool",
        "pool",
        "blocked_conv2d",
        "mean",
        "reshape",
        "blocked_dense",
        "nn.softmax",
    ]


def test_channels_that_fill_no_block_are_joined_plainly() -> None:
    made = kernels_of(blocked(float_net(channels_that_fill_no_block), choose=choose_tile))
    conv = "blocked_conv2d"
    assert made == ["block", conv, conv, "unblock", "unblock", "concat", "block", conv, "unblock"]


def test_equal_kernels_are_one() -> None:
    def body(net: Layers, x: Any) -> Any:
        for _ in range(3):
            x = net(R.nn.relu(net.biased(x, 8)))
        return x

    module = blocked(float_net(body, (1, 8, 9, 9)))
    assert kernels_of(module) == ["block", *["blocked_conv2d"] * 3, "unblock"]
    names = {name.name_hint for name in module.functions if "conv2d" in name.name_hint}
    assert len(names) == 2  # the last one's result has no halo


def test_a_function_without_such_kernels_stays() -> None:
    module = float_net(lambda net, x: net(R.nn.relu(x)))
    tvm.ir.assert_structural_equal(blocked(module), module)


def test_integers_stay() -> None:
    """The layers of a quantised network have kernels of their own."""

    def body(net: Layers, x: Any) -> Any:
        weight = relax.const(np.ones((8, 3, 3, 3), np.int8))
        small = net(R.astype(x, "int8"))
        return net(R.nn.conv2d(small, weight, out_dtype="int32"))

    module = float_net(body)
    tvm.ir.assert_structural_equal(blocked(module), module)
