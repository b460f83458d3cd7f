"""Quantised networks over blocked kernels compute the integers that numpy computes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from lcp_tvm.cpu.int8_tile import choose_int8_tile
from tests.cpu.kernels.levels import VNNI, target_of
from tests.cpu.test_block import kernels_of
from tests.reference import evaluate


@dataclass(frozen=True, slots=True)
class Layers:
    """Emits integer Relax as docs/architecture.md has it, with random constants."""

    builder: relax.BlockBuilder
    rng: np.random.Generator

    def __call__(self, value: relax.Expr) -> relax.Var:
        """Bind an operator."""
        return self.builder.emit(value)

    def constant(self, *shape: int) -> relax.Constant:
        """Return weights."""
        return relax.const(self.rng.integers(-128, 128, shape).astype(np.int8))

    def bias(self, *shape: int) -> relax.Constant:
        """Return what is added to sums."""
        return relax.const(self.rng.integers(-5000, 5000, shape).astype(np.int32))

    def entry(self, x: relax.Expr, factor: float = 32.0) -> relax.Var:
        """Quantise float32."""
        rounded = self(R.round(self(R.multiply(x, relax.const(factor)))))
        return self(R.astype(self(R.clip(rounded, -128, 127)), "int8"))

    def conv(self, x: relax.Expr, channels: int, kernel: int = 3, **how: Any) -> relax.Var:
        """Emit the sums of a convolution, padded to keep the size unless told otherwise."""
        depth = int(x.ty.shape[1]) // how.get("groups", 1)
        how.setdefault("padding", kernel // 2)
        weight = self.constant(channels, depth, kernel, kernel)
        sums = self(R.nn.conv2d(x, weight, out_dtype="int32", **how))
        return self(R.add(sums, self.bias(1, channels, 1, 1)))

    def wide(self, x: relax.Expr, places: int = 0) -> relax.Var:
        """Return a map as it is added to sums."""
        made = self(R.astype(x, "int32"))
        return self(R.left_shift(made, self.number(places))) if places else made

    def finish(self, sums: relax.Expr, shift: int = 10, low: int = -128) -> relax.Var:
        """Requantise."""
        shifted = self(R.right_shift(sums, self.number(shift)))
        return self(R.astype(self(R.clip(shifted, low, 127)), "int8"))

    def leaky(self, sums: relax.Expr) -> relax.Var:
        """Requantise with a leaky ReLU."""
        whole = self(R.right_shift(sums, self.number(9)))
        part = self(R.add(self(R.multiply(whole, self.number(3))), self.number(16)))
        both = self(R.maximum(self(R.right_shift(part, self.number(5))), whole))
        return self(R.astype(self(R.clip(both, -128, 127)), "int8"))

    def number(self, value: int) -> relax.Constant:
        """Return an int32."""
        return relax.const(np.int32(value))

    def mean(self, x: relax.Expr) -> relax.Var:
        """Emit a global average."""
        sums = self(R.sum(self.wide(x), axis=[2, 3], keepdims=True))
        product = self(R.add(self(R.multiply(sums, self.number(97))), self.number(4096)))
        return self.finish(product, 13)

    def dense(self, x: relax.Expr, outputs: int) -> relax.Var:
        """Emit a dense layer."""
        weight = self.constant(int(x.ty.shape[1]), outputs)
        product = self(R.matmul(x, weight, out_dtype="int32"))
        return self.finish(self(R.add(product, self.bias(outputs))))

    def exit(self, x: relax.Expr) -> relax.Var:
        """Return to float32."""
        return self(R.multiply(self(R.astype(x, "float32")), relax.const(0.25)))


Body = Callable[[Layers, relax.Var], relax.Expr | Sequence[relax.Expr]]


def integer_net(
    body: Body, shape: Sequence[int] = (1, 3, 11, 9), dtype: str = "float32"
) -> tvm.IRModule:
    """Return main(x) with ``body``'s result, or tuple of results."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(tuple(shape), dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            made = body(Layers(builder, np.random.default_rng(3)), x)
            results = [made] if isinstance(made, relax.Expr) else list(made)
            outputs = [builder.emit_output(result) for result in results]
        single = isinstance(made, relax.Expr)
        builder.emit_func_output(outputs[0] if single else relax.Tuple(outputs))
    return builder.get()


def blocked(module: tvm.IRModule, level: str = "x86-64-v2") -> tvm.IRModule:
    dot = DOTS[level]
    return block_int8(module, dot, partial(choose_int8_tile, core=CORES[level], dot=dot))


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
