"""One converter per Relax operator: a call becomes ONNX nodes that compute the same.

A converter gets the graph, the name its result must have, and the call.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.export_graph import GraphBuilder, element_type, static_shape

Converter = Callable[[GraphBuilder, str, relax.Call], str]
TupleConverter = Callable[[GraphBuilder, str, relax.Call], list[str]]


def _operands(graph: GraphBuilder, call: relax.Call) -> list[str]:
    return [graph.name_of(arg) for arg in call.args]


def _same(op_type: str) -> Converter:
    """Return a converter for operators that differ from ONNX's in name only."""

    def convert(graph: GraphBuilder, out: str, call: relax.Call) -> str:
        return graph.node(op_type, _operands(graph, call), out=out)

    return convert


def _with_axis(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, out: str, call: relax.Call) -> str:
        return graph.node(op_type, _operands(graph, call), out=out, axis=int(call.attrs.axis))

    return convert


def _require(out: str, call: relax.Call, attribute: str, allowed: tuple[str, ...]) -> None:
    """Refuse an attribute value that the converter would silently get wrong."""
    found = str(getattr(call.attrs, attribute))
    if found not in allowed:
        raise ModelError(
            f"cannot export {out} = {call.op.name}: {attribute} is {found}, "
            f"only {' or '.join(allowed)} is supported"
        )


def _conv2d(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    attrs = call.attrs
    _require(out, call, "data_layout", ("NCHW",))
    _require(out, call, "kernel_layout", ("OIHW",))
    _require(out, call, "out_dtype", ("None", "", "float32"))
    return graph.node(
        "Conv",
        _operands(graph, call),
        out=out,
        strides=list(attrs.strides),
        pads=list(attrs.padding),
        dilations=list(attrs.dilation),
        group=int(attrs.groups),
    )


def _conv2d_transpose(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    attrs = call.attrs
    _require(out, call, "data_layout", ("NCHW",))
    _require(out, call, "kernel_layout", ("IOHW",))
    _require(out, call, "out_dtype", ("None", "", "float32"))
    return graph.node(
        "ConvTranspose",
        _operands(graph, call),
        out=out,
        strides=list(attrs.strides),
        pads=list(attrs.padding),
        output_padding=list(attrs.output_padding),
        dilations=list(attrs.dilation),
        group=int(attrs.groups),
    )


def _matmul(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    _require(out, call, "out_dtype", ("None", "", "float32"))
    return graph.node("MatMul", _operands(graph, call), out=out)


def _pads_without_ceil(out: str, call: relax.Call) -> list[int]:
    """Pads that make floor mode give the output of ``ceil_mode``, as Relax computed its size."""
    attrs, pads = call.attrs, list(call.attrs.padding)
    rank = len(pads) // 2
    sizes = static_shape(call.args[0].ty, out)[2:]
    results = static_shape(call.ty, out)[2:]
    for axis in range(rank):
        reach = (results[axis] - 1) * attrs.strides[axis]
        reach += (attrs.pool_size[axis] - 1) * attrs.dilation[axis] + 1
        pads[rank + axis] += max(0, reach - sizes[axis] - pads[axis] - pads[rank + axis])
    return pads


def _pool(op_type: str, layout: str) -> Converter:
    def convert(graph: GraphBuilder, out: str, call: relax.Call) -> str:
        attrs = call.attrs
        _require(out, call, "layout", (layout,))
        pads = _pads_without_ceil(out, call)
        count_pads = None
        dilations: list[int] | None = list(attrs.dilation)
        if op_type == "AveragePool":  # without dilations before opset 19
            if any(step != 1 for step in attrs.dilation):
                raise ModelError(f"cannot export {out} = {call.op.name}: dilation {dilations}")
            dilations = None
            count_pads = int(attrs.count_include_pad)
            if count_pads and pads != list(attrs.padding):
                raise ModelError(
                    f"cannot export {out} = {call.op.name}: ceil_mode together with "
                    f"count_include_pad has no agreed meaning"
                )
        operands = _operands(graph, call)
        if any(pad >= side for pad, side in zip(pads, [*attrs.pool_size] * 2, strict=True)):
            if op_type != "MaxPool":
                raise ModelError(
                    f"cannot export {out} = {call.op.name}: pads {pads} are as large as the window"
                )
            # More than ONNX lets a pool pad itself.
            lowest = graph.constant(-math.inf, str(call.ty.dtype))
            begins, ends = pads[: len(pads) // 2], pads[len(pads) // 2 :]
            widths = graph.constant([0, 0, *begins, 0, 0, *ends], "int64")
            operands = [graph.node("Pad", [*operands, widths, lowest], out=graph.fresh(out))]
            pads = [0] * len(pads)
        return graph.node(
            op_type,
            operands,
            out=out,
            kernel_shape=list(attrs.pool_size),
            strides=list(attrs.strides),
            pads=pads,
            dilations=dilations,
            count_include_pad=count_pads,
        )

    return convert


def _adaptive_avg_pool2d(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    if static_shape(call.ty, out)[2:] != (1, 1):
        raise ModelError(f"cannot export {out} = {call.op.name}: output_size must be 1x1")
    return graph.node("GlobalAveragePool", _operands(graph, call), out=out)


def _reduce(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, out: str, call: relax.Call) -> str:
        inputs = _operands(graph, call)
        if call.attrs.axis is not None:
            inputs.append(graph.constant([int(axis) for axis in call.attrs.axis], "int64"))
        return graph.node(op_type, inputs, out=out, keepdims=int(call.attrs.keepdims))

    return convert


def _reshape(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    """Any operator that keeps the elements in order: the result's shape says it all."""
    shape = graph.constant(static_shape(call.ty, out), "int64")
    return graph.node("Reshape", [graph.name_of(call.args[0]), shape], out=out)


def _broadcast_to(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    shape = graph.constant(static_shape(call.ty, out), "int64")
    return graph.node("Expand", [graph.name_of(call.args[0]), shape], out=out)


def _permute_dims(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    axes = call.attrs.axes
    perm = None if axes is None else [int(axis) for axis in axes]
    return graph.node("Transpose", _operands(graph, call), out=out, perm=perm)


def _concat(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    inputs = [graph.name_of(operand) for operand in call.args[0].fields]
    return graph.node("Concat", inputs, out=out, axis=int(call.attrs.axis or 0))


def _stack(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    axis = int(call.attrs.axis or 0)
    axes = graph.constant([axis], "int64")
    parts = [
        graph.node("Unsqueeze", [graph.name_of(operand), axes], out=graph.fresh(out))
        for operand in call.args[0].fields
    ]
    return graph.node("Concat", parts, out=out, axis=axis)


def _strided_slice(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    bounds = [[int(value) for value in arg.fields] for arg in call.args[1:]]
    axes, begin, end = bounds[:3]
    steps = bounds[3] if len(bounds) > 3 else [1] * len(axes)
    inputs = [graph.constant(values, "int64") for values in (begin, end, axes, steps)]
    return graph.node("Slice", [graph.name_of(call.args[0]), *inputs], out=out)


def _pad(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    _require(out, call, "pad_mode", ("constant",))
    width = [int(value) for value in call.attrs.pad_width]
    inputs = [
        graph.name_of(call.args[0]),
        graph.constant(width[0::2] + width[1::2], "int64"),  # ONNX: all begins, then all ends
        graph.constant(float(call.attrs.pad_value), str(call.ty.dtype)),
    ]
    return graph.node("Pad", inputs, out=out, mode="constant")


def _clip(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    bounds = [graph.constant(bound.value, str(call.ty.dtype)) for bound in call.args[1:3]]
    return graph.node("Clip", [graph.name_of(call.args[0]), *bounds], out=out)


def _leaky_relu(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    return graph.node("LeakyRelu", _operands(graph, call), out=out, alpha=float(call.attrs.alpha))


def _prelu(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    data, slope = _operands(graph, call)
    rank, axis = len(call.args[0].ty.shape), int(call.attrs.axis)
    spread = graph.constant([-1 if at == axis % rank else 1 for at in range(rank)], "int64")
    shaped = graph.node("Reshape", [slope, spread], out=graph.fresh(out))
    return graph.node("PRelu", [data, shaped], out=out)


def _silu(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    data = graph.name_of(call.args[0])
    gate = graph.node("Sigmoid", [data], out=graph.fresh(out))
    return graph.node("Mul", [data, gate], out=out)


def _rsqrt(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    root = graph.node("Sqrt", _operands(graph, call), out=graph.fresh(out))
    return graph.node("Reciprocal", [root], out=out)


def _square(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    data = graph.name_of(call.args[0])
    return graph.node("Mul", [data, data], out=out)


def _astype(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    return graph.node("Cast", _operands(graph, call), out=out, to=element_type(call.ty))


RESIZE_ROUNDING = {"": "round_prefer_floor", "round": "round_prefer_floor",
                   "round_prefer_floor": "round_prefer_floor",
                   "round_prefer_ceil": "round_prefer_ceil", "floor": "floor",
                   "ceil": "ceil"}  # fmt: skip


def _resize2d(graph: GraphBuilder, out: str, call: relax.Call) -> str:
    _require(out, call, "layout", ("NCHW",))
    _require(out, call, "method", ("nearest_neighbor", "linear"))
    _require(out, call, "rounding_method", tuple(RESIZE_ROUNDING))
    nearest = str(call.attrs.method) == "nearest_neighbor"
    sizes = graph.constant(static_shape(call.ty, out), "int64")
    return graph.node(
        "Resize",
        [graph.name_of(call.args[0]), "", "", sizes],
        out=out,
        mode="nearest" if nearest else "linear",
        coordinate_transformation_mode=str(call.attrs.coordinate_transformation_mode),
        nearest_mode=RESIZE_ROUNDING[str(call.attrs.rounding_method)] if nearest else None,
    )


def _batch_norm(graph: GraphBuilder, out: str, call: relax.Call) -> list[str]:
    if bool(call.attrs.training) or int(call.attrs.axis) != 1:
        raise ModelError(f"cannot export {out} = {call.op.name}: only inference on axis 1")
    result = graph.node(
        "BatchNormalization",
        _operands(graph, call),
        out=graph.fresh(out),
        epsilon=float(call.attrs.epsilon),
    )
    return [result, *(graph.name_of(arg) for arg in call.args[3:5])]


def _dropout(graph: GraphBuilder, out: str, call: relax.Call) -> list[str]:
    return [graph.name_of(call.args[0])]  # inference: nothing is dropped


def _split(graph: GraphBuilder, out: str, call: relax.Call) -> list[str]:
    axis = int(call.attrs.axis)
    parts = [static_shape(part, out)[axis] for part in call.ty.fields]
    names = [graph.fresh(out) for _ in parts]
    sizes = graph.constant(parts, "int64")
    inputs = [graph.name_of(call.args[0]), sizes]
    graph.nodes.append(onnx.helper.make_node("Split", inputs, names, name=out, axis=axis))
    return names


_SAME_BUT_NAME = {
    "abs": "Abs", "add": "Add", "ceil": "Ceil", "divide": "Div", "erf": "Erf", "exp": "Exp",
    "floor": "Floor", "log": "Log", "maximum": "Max", "minimum": "Min", "multiply": "Mul",
    "negative": "Neg", "nn.relu": "Relu", "nn.softplus": "Softplus",
    "power": "Pow", "round": "Round", "sigmoid": "Sigmoid", "sqrt": "Sqrt", "subtract": "Sub",
    "tanh": "Tanh", "where": "Where",
}  # fmt: skip

_OTHERS: dict[str, Converter] = {
    "astype": _astype,
    "broadcast_to": _broadcast_to,
    "clip": _clip,
    "concat": _concat,
    "dequantize": _with_axis("DequantizeLinear"),
    "expand_dims": _reshape,
    "flatten": _reshape,
    "image.resize2d": _resize2d,
    "matmul": _matmul,
    "max": _reduce("ReduceMax"),
    "mean": _reduce("ReduceMean"),
    "min": _reduce("ReduceMin"),
    "nn.adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "nn.avg_pool2d": _pool("AveragePool", "NCHW"),
    "nn.avg_pool3d": _pool("AveragePool", "NCDHW"),
    "nn.conv2d": _conv2d,
    "nn.conv2d_transpose": _conv2d_transpose,
    "nn.leakyrelu": _leaky_relu,
    "nn.log_softmax": _with_axis("LogSoftmax"),
    "nn.max_pool2d": _pool("MaxPool", "NCHW"),
    "nn.pad": _pad,
    "nn.prelu": _prelu,
    "nn.silu": _silu,
    "nn.softmax": _with_axis("Softmax"),
    "permute_dims": _permute_dims,
    "quantize": _with_axis("QuantizeLinear"),
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "strided_slice": _strided_slice,
    "sum": _reduce("ReduceSum"),
}

CONVERTERS: dict[str, Converter] = {
    **{f"relax.{name}": _same(op_type) for name, op_type in _SAME_BUT_NAME.items()},
    **{f"relax.{name}": converter for name, converter in _OTHERS.items()},
}
TUPLE_CONVERTERS: dict[str, TupleConverter] = {
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.dropout": _dropout,
    "relax.split": _split,
}
