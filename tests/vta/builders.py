"""Small integer-Relax modules of one operator, and a run of them on the simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Conv, Graph, Plane, Slope, plane_of
from lcp_tvm.vta.program import NO_TILINGS, Program, build_program
from lcp_tvm.vta.read_graph import read_graph
from lcp_tvm.vta.simulator import Stats, simulate
from lcp_tvm.vta.tiling import ConvShape, Tiling

Emit = Callable[[relax.Expr], relax.Expr]
Body = Callable[[Emit, list[relax.Var]], relax.Expr]


def module_of(shapes: Mapping[str, tuple[int, ...]], body: Body) -> tvm.IRModule:
    """A module whose main takes int8 tensors and returns ``body``'s result."""
    builder = relax.BlockBuilder()
    params = [relax.Var(name, relax.TensorType(shape, "int8")) for name, shape in shapes.items()]
    with builder.function("main", params):
        with builder.dataflow():
            result = builder.emit_output(body(builder.emit, params))
        builder.emit_func_output(result)
    return builder.get()


def int32(value: object) -> relax.Expr:
    return relax.const(np.asarray(value, dtype=np.int32))


def requantise(
    emit: Emit, acc: relax.Expr, shift: int, low: int, high: int, slope: Slope | None = None
) -> relax.Expr:
    if shift:
        acc = emit(R.right_shift(acc, int32(shift)))
    if slope is not None:
        scaled = emit(R.add(emit(R.multiply(acc, int32(slope.factor))), int32(slope.rounding)))
        acc = emit(R.maximum(acc, emit(R.right_shift(scaled, int32(slope.shift)))))
    return emit(R.astype(emit(R.clip(acc, low, high)), "int8"))


def operand(emit: Emit, tensor: relax.Expr, shift: int) -> relax.Expr:
    wide = emit(R.astype(tensor, "int32"))
    return emit(R.left_shift(wide, int32(shift))) if shift else wide


def conv(
    rng: np.random.Generator,
    source: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    skip_shift: int | None = None,
    shift: int = 8,
    bounds: tuple[int, int] = (-128, 127),
    bias_limit: int = 20000,
    slope: Slope | None = None,
    pool: Callable[[relax.Expr], relax.Expr] | None = None,
    frames: int = 1,
) -> tvm.IRModule:
    """Convolution, bias, [residual operand], requantise, [pool]; ``source`` is (C, H, W).

    ``slope`` makes it a leaky ReLU.
    """
    weight = rng.integers(-128, 128, (channels, source[0] // groups, *kernel)).astype(np.int8)
    bias = rng.integers(-bias_limit, bias_limit + 1, (1, channels, 1, 1))

    def convolved(data: relax.Expr) -> relax.Expr:
        return R.nn.conv2d(
            data,
            relax.const(weight),
            strides=list(stride),
            padding=list(padding),
            dilation=list(dilation),
            groups=groups,
            out_dtype="int32",
        )

    def body(emit: Emit, params: list[relax.Var]) -> relax.Expr:
        acc = emit(R.add(emit(convolved(params[0])), int32(bias)))
        if skip_shift is not None:
            acc = emit(R.add(acc, operand(emit, params[1], skip_shift)))
        result = requantise(emit, acc, shift, *bounds, slope)
        return emit(pool(result)) if pool else result

    shapes = {"x": (frames, *source)}
    if skip_shift is not None:
        shapes["skip"] = output_shape(shapes["x"], convolved)
    return module_of(shapes, body)


def conv_transpose(
    rng: np.random.Generator,
    source: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int] = (2, 2),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    output_padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    skip_shift: int | None = None,
    shift: int = 8,
    frames: int = 1,
) -> tvm.IRModule:
    """Transposed convolution, bias, [residual operand], requantise; ``source`` is (C, H, W)."""
    weight = rng.integers(-128, 128, (source[0], channels // groups, *kernel)).astype(np.int8)
    bias = rng.integers(-20000, 20001, (1, channels, 1, 1))

    def convolved(data: relax.Expr) -> relax.Expr:
        return R.nn.conv2d_transpose(
            data,
            relax.const(weight),
            strides=stride,
            padding=padding,
            output_padding=output_padding,
            dilation=dilation,
            groups=groups,
            out_dtype="int32",
        )

    def body(emit: Emit, params: list[relax.Var]) -> relax.Expr:
        acc = emit(R.add(emit(convolved(params[0])), int32(bias)))
        if skip_shift is not None:
            acc = emit(R.add(acc, operand(emit, params[1], skip_shift)))
        return requantise(emit, acc, shift, -128, 127)

    shapes = {"x": (frames, *source)}
    if skip_shift is not None:
        shapes["skip"] = output_shape(shapes["x"], convolved)
    return module_of(shapes, body)


def output_shape(
    shape: tuple[int, ...], function: Callable[[relax.Expr], relax.Expr]
) -> tuple[int, ...]:
    """Shape of ``function`` of an int8 tensor."""
    module = module_of({"x": shape}, lambda emit, params: emit(function(params[0])))
    return tuple(int(size) for size in module["main"].ty.ret.shape)


def dense(
    rng: np.random.Generator,
    source: tuple[int, ...],
    channels: int,
    *,
    shift: int = 8,
    bounds: tuple[int, int] = (-128, 127),
    frames: int = 1,
) -> tvm.IRModule:
    """[Flatten], matmul, bias, requantise; ``source`` is (C, H, W) or (K,)."""
    size = int(np.prod(source))
    weight = rng.integers(-128, 128, (size, channels)).astype(np.int8)
    bias = rng.integers(-5000, 5001, channels)

    def body(emit: Emit, params: list[relax.Var]) -> relax.Expr:
        data: relax.Expr = params[0]
        if len(source) == 3:
            data = emit(R.reshape(data, (frames, size)))
        acc = emit(R.matmul(data, relax.const(weight), out_dtype="int32"))
        return requantise(emit, emit(R.add(acc, int32(bias))), shift, *bounds)

    return module_of({"x": (frames, *source)}, body)


def add(
    source: tuple[int, ...],
    shifts: tuple[int, int],
    *,
    shift: int,
    bounds: tuple[int, int],
    frames: int = 1,
) -> tvm.IRModule:
    """Sum of two int8 tensors, rounded half up."""

    def body(emit: Emit, params: list[relax.Var]) -> relax.Expr:
        left, right = (operand(emit, p, s) for p, s in zip(params, shifts, strict=True))
        acc = emit(R.add(left, right))
        if shift:
            acc = emit(R.add(acc, int32(1 << (shift - 1))))
        return requantise(emit, acc, shift, *bounds)

    return module_of({"x": (frames, *source), "skip": (frames, *source)}, body)


def mean(source: tuple[int, int, int], factor: int, shift: int, *, frames: int = 1) -> tvm.IRModule:
    """Global average pooling with a constant factor."""

    def body(emit: Emit, params: list[relax.Var]) -> relax.Expr:
        total = emit(R.sum(operand(emit, params[0], 0), axis=[2, 3], keepdims=True))
        acc = emit(R.multiply(total, int32(factor)))
        acc = emit(R.add(acc, int32(1 << (shift - 1))))
        return requantise(emit, acc, shift, -128, 127)

    return module_of({"x": (frames, *source)}, body)


def max_pool(
    source: tuple[int, int, int],
    kernel: tuple[int, int],
    *,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    ceil_mode: bool,
    dilation: tuple[int, int] = (1, 1),
    frames: int = 1,
) -> tvm.IRModule:
    """Max pooling of int8."""
    pool = pooling(kernel, stride, padding, ceil_mode, dilation)
    return module_of({"x": (frames, *source)}, lambda emit, params: emit(pool(params[0])))


def pooling(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    ceil_mode: bool = False,
    dilation: tuple[int, int] = (1, 1),
) -> Callable[[relax.Expr], relax.Expr]:
    """The maximum over a window, of any tensor."""
    return lambda data: R.nn.max_pool2d(
        data,
        pool_size=kernel,
        strides=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


def random_inputs(rng: np.random.Generator, module: tvm.IRModule) -> list[np.ndarray]:
    """Random int8 tensors for main's parameters."""
    shapes = [tuple(int(s) for s in param.ty.shape) for param in module["main"].params]
    return [rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes]


def compile_single(
    module: tvm.IRModule, config: VtaConfig, tilings: Mapping[ConvShape, Tiling] = NO_TILINGS
) -> Program:
    """The one VTA program of a module that VTA runs whole."""
    return build_program(graph_of(module, config), config, tilings)


def graph_of(module: tvm.IRModule, config: VtaConfig) -> Graph:
    """The layers of a module that VTA runs whole."""
    partition = partition_vta(module, config)
    assert partition.reasons == ()
    functions = [f for v, f in partition.module.functions.items() if v.name_hint != "main"]
    assert len(functions) == 1
    return read_graph(functions[0], "vta_0")


def conv_of(module: tvm.IRModule, config: VtaConfig) -> Conv:
    """The only layer of a module of one convolution."""
    (node,) = graph_of(module, config).nodes
    assert isinstance(node.layer, Conv)
    return node.layer


def run_program(
    program: Program, inputs: Mapping[str, np.ndarray], config: VtaConfig
) -> tuple[dict[str, np.ndarray], Stats]:
    """Run a program on the simulator, hazards and races as errors.

    Parameters
    ----------
    inputs : int8 tensors ``[N, C, H, W]`` or ``[N, C]`` by the program's input names.
    """
    header = program.header
    dram = np.zeros(header["dram_size"], dtype=np.uint8)
    dram[: len(program.image)] = np.frombuffer(program.image, dtype=np.uint8)
    for entry in header["inputs"]:
        packed = pack(inputs[entry["name"]], config)
        dram[entry["addr"] : entry["addr"] + packed.size] = packed
    layers = [(layer["first"], layer["count"]) for layer in header["layers"]]
    stats = simulate(config, dram, header["insn_addr"], header["insn_count"], layers=layers)
    outputs = {
        entry["name"]: unpack(dram[entry["addr"] :], tuple(entry["shape"]), config)
        for entry in header["outputs"]
    }
    return outputs, stats


def pack(tensor: np.ndarray, config: VtaConfig) -> np.ndarray:
    """int8 NCHW to bytes in elements ``[C / BLOCK][N / BATCH][H][W][BATCH][BLOCK]``."""
    plane = plane_of(tensor.shape)
    full = np.zeros(_padded(plane, config), dtype=np.int8)
    height, width = plane.height, plane.width
    full[: plane.frames, : plane.channels] = tensor.reshape(-1, plane.channels, height, width)
    lanes = full.reshape(
        -1, config.batch, full.shape[1] // config.block, config.block, height, width
    )
    tiles = lanes.transpose(2, 0, 4, 5, 1, 3)
    return np.ascontiguousarray(tiles).view(np.uint8).reshape(-1)


def unpack(memory: np.ndarray, shape: tuple[int, ...], config: VtaConfig) -> np.ndarray:
    """The inverse of `pack`, from the start of ``memory``."""
    plane = plane_of(shape)
    frames, channels, height, width = _padded(plane, config)
    values = memory[: frames * channels * height * width].view(np.int8)
    tiles = values.reshape(-1, frames // config.batch, height, width, config.batch, config.block)
    full = tiles.transpose(1, 4, 0, 5, 2, 3).reshape(frames, channels, height, width)
    return full[: plane.frames, : plane.channels].reshape(shape)


def _padded(plane: Plane, config: VtaConfig) -> tuple[int, int, int, int]:
    """Shape of a tensor with all frames and channels that its elements have."""
    elements = plane.in_elements(config)
    frames, channels = elements.frames * config.batch, elements.channels * config.block
    return frames, channels, plane.height, plane.width
