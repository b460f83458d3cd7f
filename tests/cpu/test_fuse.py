"""Fused kernels compute what TVM's own do, and hold one channel of a convolution's result.

What TVM builds of the same module without `fuse_kernels` is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from tvm import relax, s_tir, tirx
from tvm.relax import op as R

from lcp_tvm.cpu.fuse import fuse_kernels
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.relay_passes.prim_func import nodes_of

Array = npt.NDArray[Any]
MAP = (1, 8, 13, 11)
RELATIVE = 1e-6
"""Of the largest element: a compiler may join a product and a sum differently in each kernel."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Emits operators of one type of elements, with random constants."""

    emit: Callable[[relax.Expr], relax.Expr]
    rng: np.random.Generator
    dtype: str

    @property
    def wide(self) -> str:
        """The type in which products are added up."""
        return "float32" if self.dtype == "float32" else "int32"

    def constant(self, *shape: int, dtype: str | None = None) -> relax.Expr:
        dtype = dtype or self.dtype
        if dtype == "float32":
            return relax.const(self.rng.normal(size=shape).astype(dtype))
        return relax.const(self.rng.integers(-128, 128, shape).astype(dtype))

    def conv(self, x: relax.Expr, channels: int, kernel: int = 3, **how: Any) -> relax.Expr:
        """A convolution with its bias."""
        depth = int(x.ty.shape[1]) // how.get("groups", 1)
        weight = self.constant(channels, depth, kernel, kernel)
        y = self.emit(R.nn.conv2d(x, weight, out_dtype=self.wide, **how))
        return self.emit(R.add(y, self.constant(1, channels, 1, 1, dtype=self.wide)))

    def requantise(self, acc: relax.Expr, shift: int = 7) -> relax.Expr:
        shifted = self.emit(R.right_shift(acc, relax.const(np.int32(shift))))
        return self.emit(R.astype(self.emit(R.clip(shifted, -128, 127)), "int8"))

    def finish(self, acc: relax.Expr) -> relax.Expr:
        """What stands behind a convolution: an activation, or the way back to int8."""
        if self.dtype == "int8":
            return self.requantise(acc)
        return self.emit(R.nn.leakyrelu(acc, 0.1))

    def pool(self, x: relax.Expr, kernel: int, stride: int, **how: Any) -> relax.Expr:
        return self.emit(R.nn.max_pool2d(x, [kernel] * 2, [stride] * 2, **how))


Body = Callable[[Layers, list[relax.Var]], relax.Expr]


def module_of(
    body: Body, shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32", seed: int = 0
) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    params = [relax.Var(name, relax.TensorType(shape, dtype)) for name, shape in shapes.items()]
    with builder.function("main", params):
        with builder.dataflow():
            layers = Layers(builder.emit, np.random.default_rng(seed), dtype)
            result = builder.emit_output(body(layers, params))
        builder.emit_func_output(result)
    return builder.get()


def run(module: tvm.IRModule, inputs: list[Array]) -> Array:
    executable = tvm.compile(module, target=parse_target("cpu").tvm_target())
    machine = relax.VirtualMachine(executable, tvm.cpu())
    result: Array = machine["main"](*[tvm.runtime.tensor(x) for x in inputs]).numpy()
    return result


def random_inputs(module: tvm.IRModule, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    inputs = []
    for param in module["main"].params:
        shape = [int(size) for size in param.ty.shape]
        if param.ty.dtype == "int8":
            inputs.append(rng.integers(-128, 128, shape).astype(np.int8))
        else:
            inputs.append(rng.normal(size=shape).astype(np.float32))
    return inputs


def check(module: tvm.IRModule, seed: int = 0) -> tvm.IRModule:
    """Compare with TVM's own kernels: integers to the bit. Returns the fused module."""
    inputs = random_inputs(module, seed)
    fused = fuse_kernels(module)
    result, expected = run(fused, inputs), run(module, inputs)
    if expected.dtype == np.float32:
        np.testing.assert_allclose(result, expected, rtol=0, atol=RELATIVE * abs(expected).max())
    else:
        np.testing.assert_array_equal(result, expected)
    return fused


def kernels(fused: tvm.IRModule) -> dict[str, tirx.PrimFunc]:
    return {
        name.name_hint: function
        for name, function in fused.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }


def held_elements(kernel: tirx.PrimFunc) -> int:
    """How many elements a kernel holds beside its arguments, as its code is generated."""
    transform = s_tir.transform
    compact = tvm.transform.Sequential(
        [
            transform.LowerInitBlock(),
            transform.PlanAndUpdateBufferAllocationLocation(),
            transform.ConvertBlocksToOpaque(),
            transform.CompactBufferAllocation(),
        ]
    )(tvm.IRModule({"main": kernel}))
    sizes = [
        int(np.prod([int(size) for size in buffer.shape]))
        for block in nodes_of(compact["main"], s_tir.SBlock)
        for buffer in block.alloc_buffers
    ]
    return sum(sizes)


def chain(layers: Layers, params: list[relax.Var]) -> relax.Expr:
    y = layers.finish(layers.conv(params[0], 16, padding=1))
    return layers.finish(layers.conv(layers.pool(y, 2, 2), 4, padding=[0, 1, 2, 1]))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_layer_is_one_kernel_with_the_next_ones_border(dtype: str) -> None:
    """pad(x); conv .. pool, pad; conv .. : three kernels."""
    names = list(kernels(check(module_of(chain, {"x": MAP}, dtype))))
    assert len(names) == 3
    assert "pad" in names
    (first,) = (name for name in names if "max_pool2d" in name)
    assert first.startswith("fused_conv2d")
    assert first.endswith("pad1")


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_kernel_holds_one_channel_of_a_convolution(dtype: str) -> None:
    """Of the convolution and of the pool; what is between them is never written down."""
    fused = fuse_kernels(module_of(chain, {"x": MAP}, dtype))
    (first,) = (kernel for name, kernel in kernels(fused).items() if "max_pool2d" in name)
    pooled = (MAP[2] // 2) * (MAP[3] // 2)
    assert held_elements(first) == 4 * pooled + pooled  # of a last row and column nothing is read


SINGLE: dict[str, Body] = {
    "depthwise, dilated, asymmetric": lambda e, p: e.finish(
        e.conv(p[0], 8, groups=8, dilation=2, padding=[3, 1, 0, 2])
    ),
    "groups, strides": lambda e, p: e.finish(e.conv(p[0], 12, groups=4, strides=[2, 1], padding=1)),
    "pool with ceil": lambda e, p: e.pool(
        e.finish(e.conv(p[0], 6)), 3, 2, padding=[1, 1, 0, 1], ceil_mode=True
    ),
    "pools that overlap, one behind the other": lambda e, p: e.pool(
        e.pool(e.finish(e.conv(p[0], 6)), 3, 1, padding=1), 3, 2
    ),
    "pool that skips": lambda e, p: e.pool(e.finish(e.conv(p[0], 6)), 1, 3),
    "pool of a pool and itself": lambda e, p: (
        lambda y: e.emit(R.maximum(e.pool(y, 3, 1, padding=1), y))
    )(e.finish(e.conv(p[0], 6))),
    "a border around channels": lambda e, p: e.emit(
        R.nn.pad(e.finish(e.conv(p[0], 6)), [0, 0, 2, 3, 1, 0, 2, 0])
    ),
    "one channel for many": lambda e, p: e.emit(
        R.multiply(e.conv(p[0], 1), e.constant(1, 5, 1, 1, dtype=e.wide))
    ),
    "two readers of a convolution": lambda e, p: (
        lambda y: e.emit(R.add(e.conv(y, 4, padding=1), e.conv(y, 4, padding=1)))
    )(e.finish(e.conv(p[0], 6))),
    "joined maps": lambda e, p: e.conv(
        e.emit(R.concat([e.finish(e.conv(p[0], 4, padding=1)), p[0]], axis=1)), 5, padding=1
    ),
    "average of a convolution": lambda e, p: e.emit(
        R.nn.avg_pool2d(e.finish(e.conv(p[0], 4)), [2, 2], [2, 2])
    ),
    "means of a convolution": lambda e, p: e.emit(
        R.max(e.finish(e.conv(p[0], 4)), axis=[2, 3], keepdims=False)
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", SINGLE)
def test_numbers_are_those_of_plain_kernels(name: str, dtype: str) -> None:
    check(module_of(SINGLE[name], {"x": MAP}, dtype))


@pytest.mark.parametrize("projects", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_residual_sums(dtype: str, projects: bool) -> None:
    """The map itself, or a convolution of it, is added; one convolution keeps its whole result."""

    def body(layers: Layers, params: list[relax.Var]) -> relax.Expr:
        (x,) = params
        wide = x if dtype == "float32" else layers.emit(R.astype(x, "int32"))
        skip = layers.conv(x, MAP[1], 1) if projects else wide
        return layers.finish(layers.emit(R.add(layers.conv(x, MAP[1], padding=1), skip)))

    check(module_of(body, {"x": MAP}, dtype))


PRODUCTS: dict[str, tuple[dict[str, tuple[int, ...]], Body]] = {
    "dense": (
        {"x": (1, 7)},
        lambda e, p: e.finish(
            e.emit(R.add(e.emit(R.matmul(p[0], e.constant(7, 9))), e.constant(9)))
        ),
    ),
    "heads": ({"x": (1, 3, 5, 7), "y": (1, 3, 7, 6)}, lambda e, p: e.emit(R.matmul(p[0], p[1]))),
    "heads that share": (
        {"x": (1, 1, 5, 7), "y": (1, 3, 7, 6)},
        lambda e, p: e.finish(e.emit(R.matmul(p[0], p[1]))),
    ),
    "matrix and vector": ({"x": (6, 7), "y": (7,)}, lambda e, p: e.emit(R.matmul(p[0], p[1]))),
    "vectors": ({"x": (7,), "y": (7,)}, lambda e, p: e.emit(R.matmul(p[0], p[1]))),
    "numbers": ({"x": (), "y": ()}, lambda e, p: e.emit(R.exp(e.emit(R.add(p[0], p[1]))))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_matrices(name: str) -> None:
    shapes, body = PRODUCTS[name]
    check(module_of(body, shapes))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("seed", range(8))
def test_random_layers(seed: int, dtype: str) -> None:
    """Three layers with any geometry, pools and skips between them."""
    choose = np.random.default_rng(1000 + seed)

    def layer(layers: Layers, x: relax.Expr) -> relax.Expr:
        channels = int(x.ty.shape[1])
        kernel = int(choose.choice([1, 2, 3]))
        y = layers.conv(
            x,
            channels * int(choose.choice([1, 2])),
            kernel,
            groups=int(choose.choice([1, 2, channels])),
            strides=choose.choice([1, 2], 2, p=[0.8, 0.2]).tolist(),
            dilation=choose.choice([1, 2], 2).tolist(),
            padding=choose.integers(2, 4, 4).tolist(),
        )
        y = layers.finish(y)
        if choose.random() < 0.5:
            window = int(choose.choice([2, 3]))
            ceil = bool(choose.random() < 0.5)
            padding = choose.integers(0, 2, 4).tolist()
            stride = int(choose.choice([1, 2]))
            y = layers.pool(y, window, stride, padding=padding, ceil_mode=ceil)
        if choose.random() < 0.5:
            y = layers.emit(R.maximum(layers.finish(layers.conv(y, int(y.ty.shape[1]), 1)), y))
        return y

    def body(layers: Layers, params: list[relax.Var]) -> relax.Expr:
        y = params[0]
        for _ in range(3):
            y = layer(layers, y)
        return y

    check(module_of(body, {"x": (1, 4, 12, 9)}, dtype, seed), seed)
