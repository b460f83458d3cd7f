"""A quantised network in torch has the bits of the integer network and of VTA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.package import read_package, write_package
from lcp_tvm.quantise import quantise
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from lcp_tvm.train import int8
from lcp_tvm.train.torch_network import TorchNetwork
from tests.quantise.float_builder import Floats, network, pictures, small_residual
from tests.reference import evaluate
from tests.relay_passes.spatial_networks import networks

Array = np.ndarray[Any, Any]


def answers(network: TorchNetwork, x: Array) -> Array:
    with torch.no_grad():
        result: Array = network.eval()(torch.from_numpy(x)).numpy()
    return result


def one_by_one(module: tvm.IRModule, x: Array) -> Array:
    return np.concatenate([evaluate(module, picture[None]) for picture in x])


def residual(f: Floats) -> Any:
    """Leaky ReLU, a skip, a padded pool, a mean and a concatenation."""
    stem = f.emit(R.nn.leakyrelu(f.conv(f.x, 8, 3, "stem"), 0.1), "stem_out")
    deep = f.relu(f.conv(stem, 8, 3, "deep"), "deep_out")
    join = f.relu(f.emit(R.add(f.conv(deep, 8, 1, "narrow"), stem), "join"), "join_out")
    pool = f.emit(R.nn.max_pool2d(join, [3, 3], [2, 2], padding=[0, 0, 1, 1]), "pool")
    both = f.emit(R.concat([pool, f.relu(f.conv(pool, 8, 3, "side"), "side_out")], 1), "both")
    pooled = f.emit(R.mean(both, axis=[2, 3], keepdims=True), "pooled")
    flat = f.emit(R.reshape(pooled, (1, 16)), "flat")
    dense = f.emit(R.matmul(flat, relax.const(f.normal(16, 5))), "dense")
    return f.emit(R.add(dense, relax.const(f.normal(5))), "scores")


@pytest.mark.parametrize("split", ["none", "lcp:2"])
def test_answers_are_those_of_a_package_on_vta(split: str, tmp_path: Path) -> None:
    net = network(Floats(1, 3, 12, 12).build(residual))
    if split != "none":
        net = replace(net, module=split_lcp_network(net.module, 2).module)
    quantised = replace(net, module=quantise(net, pictures(8, 3, 12, 12)).module)
    compiled = compile_network(quantised, parse_targets("vta"), split=parse_split(split))
    write_package(compiled, tmp_path / "net.lcp")
    package = read_package(tmp_path / "net.lcp")
    plan, executor = package.plan(), load_local(package.code())
    x = pictures(20, 3, 12, 12, seed=2)
    on_vta = [executor.run(plan, picture[None])[0] for picture in x]
    assert all(module.vta is not None for module in package.code())
    np.testing.assert_array_equal(
        answers(int8.integer_network(quantised.module), x), np.concatenate(on_vta)
    )


@settings(max_examples=30)
@given(networks(integer=True), st.integers(0, 99))
def test_drawn_integer_networks(module: tvm.IRModule, seed: int) -> None:
    _, *sizes = (int(size) for size in module["main"].params[0].ty.shape)
    x = pictures(3, *sizes, seed=seed)
    np.testing.assert_array_equal(
        answers(TorchNetwork(module, int8.build), x), one_by_one(module, x)
    )


def test_operators_that_stay_in_float_are_computed_too() -> None:
    """Softmax; its last bits are the processor's."""
    net = network(Floats(1, 3, 8, 8).build(small_residual))
    quantised = quantise(net, pictures(8, 3, 8, 8)).module
    x = pictures(4, 3, 8, 8, seed=2)
    integer = lower_qdq(quantised)
    np.testing.assert_allclose(
        answers(int8.integer_network(quantised), x), one_by_one(integer, x), rtol=1e-6
    )


def _conv(data: Any, weight: Any) -> Any:
    return R.nn.conv2d(data, weight, padding=1, out_dtype="int32")


def _transposed(data: Any, weight: Any) -> Any:
    return R.nn.conv2d_transpose(data, weight, strides=2, out_dtype="int32")


def _dense(data: Any, weight: Any) -> Any:
    return R.matmul(data, weight, out_dtype="int32")


@pytest.mark.parametrize(
    ("product", "data", "weight"),
    [
        (_conv, (110, 5, 5), (3, 110, 3, 3)),  # sums below 2^24
        (_conv, (200, 5, 5), (3, 200, 3, 3)),  # and above
        (_transposed, (300, 4, 4), (300, 3, 2, 2)),
        (_dense, (1030,), (1030, 3)),
        (_dense, (9001,), (9001, 3)),
    ],
)
def test_the_largest_sums_are_exact(
    product: Callable[[Any, Any], Any], data: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    random = np.random.default_rng(3)
    weights = random.integers(-127, -120, weight).astype(np.int8)
    x = relax.Var("x", relax.TensorType((1, *data), "int8"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(product(x, relax.const(weights)))
        builder.emit_func_output(result)
    module = builder.get()
    values = random.integers(-128, -120, (2, *data)).astype(np.int8)
    np.testing.assert_array_equal(
        answers(TorchNetwork(module, int8.build), values), one_by_one(module, values)
    )
