"""What Relax operators of CNNs do, in numpy; one function for each, all listed in OPERATORS.

Integers wrap as two's complement of their type, as they do in the compiled code.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Operator = Callable[[list[Any], Any], Any]


def conv2d(args: list[Any], attrs: Any) -> Any:
    data, weight = args
    _require(attrs.data_layout == "NCHW" and attrs.kernel_layout == "OIHW", "layout", attrs)
    groups = int(attrs.groups)
    windows = _windows(
        _padded(data, _pads(attrs.padding, 2), 0), weight.shape[2:], attrs.strides, attrs.dilation
    )
    batch, _, height, width = windows.shape[:4]
    outputs = weight.shape[0]
    dtype = _result_type(data, attrs)
    result = np.empty((batch, outputs, height, width), dtype)
    kind = _exact_type(data, weight.reshape(outputs, -1))
    matrix = weight.astype(kind).reshape(groups, outputs // groups, -1)
    for image in range(batch):
        # [C, H, W, KH, KW] -> [groups, C / groups * KH * KW, H * W]
        columns = windows[image].astype(kind).transpose(0, 3, 4, 1, 2)
        columns = columns.reshape(groups, -1, height * width)
        result[image] = _cast(np.matmul(matrix, columns), dtype).reshape(outputs, height, width)
    return result


def conv2d_transpose(args: list[Any], attrs: Any) -> Any:
    """Every input times the kernel, added up at ``stride`` times its place."""
    data, weight = args
    _require(attrs.data_layout == "NCHW" and attrs.kernel_layout == "IOHW", "layout", attrs)
    groups, (sh, sw), (dh, dw) = int(attrs.groups), _ints(attrs.strides), _ints(attrs.dilation)
    batch, inputs, height, width = data.shape
    outputs, kh, kw = weight.shape[1:]
    size = ((height - 1) * sh + (kh - 1) * dh + 1, (width - 1) * sw + (kw - 1) * dw + 1)
    more = _ints(attrs.output_padding)
    total = np.zeros(
        (batch, groups, outputs, size[0] + more[0], size[1] + more[1]),
        np.float64 if data.dtype.kind == "f" else np.int64,
    )
    split = data.reshape(batch, groups, inputs // groups, height, width).astype(total.dtype)
    kernels = weight.reshape(groups, inputs // groups, outputs, kh, kw).astype(total.dtype)
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dh, i * dh + (height - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
            total[..., rows, columns] += np.einsum("ngihw,gio->ngohw", split, kernels[..., i, j])
    top, left, bottom, right = _ints(attrs.padding)
    result = total.reshape(batch, groups * outputs, *total.shape[3:])
    result = result[:, :, top : result.shape[2] - bottom, left : result.shape[3] - right]
    return _cast(result, _result_type(data, attrs))


def matmul(args: list[Any], attrs: Any) -> Any:
    left, right = args
    kind = _exact_type(left, np.swapaxes(right, -1, -2).reshape(-1, right.shape[-2]))
    return _cast(np.matmul(left.astype(kind), right.astype(kind)), _result_type(left, attrs))


def _exact_type(data: Array, rows: Array) -> npt.DTypeLike:
    """Float type in which no sum of products of `data` with a row of `rows` is rounded."""
    if data.dtype.kind == "f":
        return np.float64
    largest = int(np.abs(data.astype(np.int64)).max(initial=0))
    weights = int(np.abs(rows.astype(np.int64)).sum(axis=1).max(initial=0))
    if largest * weights < 1 << 24:
        return np.float32
    _require(largest * weights < 1 << 53, "sums beyond 2^53", None)
    return np.float64


def _result_type(data: Array, attrs: Any) -> np.dtype[Any]:
    name = str(attrs.out_dtype)
    return data.dtype if name in ("", "void", "None") else np.dtype(name)


def _cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Exact integers in float arrays to `dtype`, wrapping."""
    return (values.astype(np.int64) if dtype.kind in "iu" else values).astype(dtype)


def max_pool(args: list[Any], attrs: Any) -> Any:
    (data,) = args
    lowest = -np.inf if data.dtype.kind == "f" else np.iinfo(data.dtype).min
    return _pool(data, attrs, lowest).max(axis=_kernel_axes(data))


def avg_pool(args: list[Any], attrs: Any) -> Any:
    (data,) = args
    total = _pool(data.astype(np.float64), attrs, 0).sum(axis=_kernel_axes(data))
    ones = np.ones_like(data, np.float64)
    count = _pool(ones, attrs, float(attrs.count_include_pad), beyond=0)
    return (total / count.sum(axis=_kernel_axes(data))).astype(data.dtype)


def _kernel_axes(data: Array) -> tuple[int, ...]:
    return tuple(range(data.ndim, 2 * data.ndim - 2))


def _pool(data: Array, attrs: Any, fill: float, beyond: float | None = None) -> Array:
    """Windows of a map with padding; ``beyond`` is behind that, where a size is rounded up."""
    _require(attrs.layout in ("NCW", "NCHW", "NCDHW"), "layout", attrs)
    padded = _padded(data, _pads(attrs.padding, data.ndim - 2), fill)
    if attrs.ceil_mode:
        # Windows that begin inside may end outside.
        after = tuple(stride - 1 for stride in _ints(attrs.strides))
        none = (0,) * len(after)
        padded = _padded(padded, (none, after), fill if beyond is None else beyond)
    return _windows(padded, _ints(attrs.pool_size), attrs.strides, attrs.dilation)


def adaptive_avg_pool2d(args: list[Any], attrs: Any) -> Any:
    (data,) = args
    sizes = data.shape[2:] if attrs.output_size is None else _ints(attrs.output_size)
    rows, columns = (
        [(i * extent // size, -(-(i + 1) * extent // size)) for i in range(size)]
        for extent, size in zip(data.shape[2:], sizes, strict=True)
    )
    means = [
        [data[:, :, y0:y1, x0:x1].mean(axis=(2, 3), dtype=np.float64) for x0, x1 in columns]
        for y0, y1 in rows
    ]
    return np.moveaxis(np.array(means), (0, 1), (2, 3)).astype(data.dtype)


def _windows(data: Array, kernel: Sequence[int], strides: Any, dilation: Any) -> Array:
    """View [N, C, H, W, KH, KW] of the windows of NCHW data, likewise for other ranks."""
    steps = _ints(dilation)
    reach = tuple((extent - 1) * step + 1 for extent, step in zip(kernel, steps, strict=True))
    windows = sliding_window_view(data, reach, axis=tuple(range(2, data.ndim)))
    every = (slice(None, None, step) for step in (*_ints(strides), *steps))
    return windows[:, :, *every]


Pads = tuple[tuple[int, ...], tuple[int, ...]]


def _pads(padding: Any, rank: int) -> Pads:
    """Elements to add before and after each of the `rank` spatial axes."""
    pads = _ints(padding)
    if len(pads) == 1:
        return pads * rank, pads * rank
    return pads[:rank], pads[-rank:]


def _padded(data: Array, pads: Pads, fill: float) -> Array:
    if not any(pads[0]) and not any(pads[1]):
        return data
    return np.pad(data, ((0, 0), (0, 0), *zip(*pads, strict=True)), constant_values=fill)


def pad(args: list[Any], attrs: Any) -> Any:
    widths = np.array(_ints(attrs.pad_width)).reshape(-1, 2)
    _require(attrs.pad_mode in ("constant", "reflect", "replicate"), "pad_mode", attrs)
    if attrs.pad_mode != "constant":
        mode = "edge" if attrs.pad_mode == "replicate" else "reflect"
        return np.pad(args[0], widths, mode=mode)  # type: ignore[call-overload]
    fill = args[1] if len(args) > 1 else attrs.pad_value
    return np.pad(args[0], widths, constant_values=fill)


def right_shift(args: list[Any], attrs: Any) -> Any:
    _check_shift(args)
    return np.right_shift(args[0], args[1])


def left_shift(args: list[Any], attrs: Any) -> Any:
    _check_shift(args)
    return np.left_shift(args[0], args[1])


def _check_shift(args: list[Any]) -> None:
    bits = 8 * args[0].dtype.itemsize
    if args[0].dtype.kind not in "iu" or not 0 <= int(args[1].min()) <= int(args[1].max()) < bits:
        raise ValueError(f"shift of {args[0].dtype} by {args[1]}, allowed is 0..{bits - 1}")


def astype(args: list[Any], attrs: Any) -> Any:
    return np.asarray(args[0].astype(str(attrs.dtype)))


def quantize(args: list[Any], attrs: Any) -> Any:
    data, scale, zero = args
    dtype = np.dtype(str(attrs.out_dtype))
    limits = np.iinfo(dtype)
    steps = np.rint(data / _along(scale, data, attrs.axis)).astype(np.float64)
    shifted = steps + _along(zero, data, attrs.axis)
    return np.clip(shifted, limits.min, limits.max).astype(dtype)


def dequantize(args: list[Any], attrs: Any) -> Any:
    data, scale, zero = args
    steps = data.astype(np.int64) - _along(zero, data, attrs.axis)
    return (steps * _along(scale, data, attrs.axis)).astype(str(attrs.out_dtype))


def _along(values: Array, data: Array, axis: int) -> Array:
    """Per-channel `values` shaped to broadcast along `axis` of `data`."""
    if values.ndim == 0 or values.size == 1:
        return values.reshape(())
    shape = [1] * data.ndim
    shape[axis] = values.size
    return values.reshape(shape)


def _reduction(reduce: Callable[..., Array]) -> Operator:
    def operator(args: list[Any], attrs: Any) -> Any:
        axis = None if attrs.axis is None else _ints(attrs.axis)
        data = args[0].astype(np.float64) if args[0].dtype.kind == "f" else args[0]
        result = reduce(data, axis=axis, keepdims=bool(attrs.keepdims))
        return np.asarray(result).astype(args[0].dtype)

    return operator


def softmax(args: list[Any], attrs: Any) -> Any:
    powers = np.exp(args[0] - args[0].max(axis=attrs.axis, keepdims=True), dtype=np.float64)
    return (powers / powers.sum(axis=attrs.axis, keepdims=True)).astype(args[0].dtype)


def log_softmax(args: list[Any], attrs: Any) -> Any:
    shifted = (args[0] - args[0].max(axis=attrs.axis, keepdims=True)).astype(np.float64)
    total = np.exp(shifted).sum(axis=attrs.axis, keepdims=True)
    return (shifted - np.log(total)).astype(args[0].dtype)


def batch_norm(args: list[Any], attrs: Any) -> tuple[Array, Array, Array]:
    data, *_, mean, variance = args
    _require(not getattr(attrs, "training", False), "training", attrs)
    along = [_along(value.astype(np.float64), data, attrs.axis) for value in args[1:]]
    result = (data - along[2]) / np.sqrt(along[3] + attrs.epsilon)
    result = result * along[0] if attrs.scale else result
    result = result + along[1] if attrs.center else result
    return result.astype(data.dtype), mean, variance


def strided_slice(args: list[Any], attrs: Any) -> Any:
    data, axes, begin, end, *rest = args
    strides = rest[0] if rest else [1] * len(axes)
    cut = [slice(None)] * data.ndim
    for axis, start, stop, step in zip(axes, begin, end, strides, strict=True):
        cut[axis] = slice(start, stop, step)
    return np.asarray(data[tuple(cut)])


def permute_dims(args: list[Any], attrs: Any) -> Any:
    return np.transpose(args[0], None if attrs.axes is None else _ints(attrs.axes))


def squeeze(args: list[Any], attrs: Any) -> Any:
    return np.squeeze(args[0], None if attrs.axis is None else _ints(attrs.axis))


def expand_dims(args: list[Any], attrs: Any) -> Any:
    return np.expand_dims(args[0], _ints(attrs.axis))


def clip(args: list[Any], attrs: Any) -> Any:
    return np.clip(args[0], args[1], args[2]).astype(args[0].dtype)


def _numeric(compute: Callable[..., Array]) -> Operator:
    """Elementwise in the type of the operands."""

    def operator(args: list[Any], attrs: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.asarray(compute(*args))

    return operator


def _precise(compute: Callable[[Array], Array]) -> Operator:
    """Elementwise on floats: computed in float64, rounded once."""

    def operator(args: list[Any], attrs: Any) -> Any:
        return np.asarray(compute(args[0].astype(np.float64))).astype(args[0].dtype)

    return operator


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _require(holds: bool, what: str, attrs: Any) -> None:
    if not holds:
        raise NotImplementedError(f"reference does not know this {what}: {attrs}")


_TABLE: dict[str, Operator] = {
    "nn.conv2d": conv2d,
    "nn.conv2d_transpose": conv2d_transpose,
    "matmul": matmul,
    **{f"nn.max_pool{rank}d": max_pool for rank in (1, 2, 3)},
    **{f"nn.avg_pool{rank}d": avg_pool for rank in (1, 2, 3)},
    "nn.adaptive_avg_pool2d": adaptive_avg_pool2d,
    "nn.pad": pad,
    "nn.softmax": softmax,
    "nn.log_softmax": log_softmax,
    "nn.batch_norm": batch_norm,
    "nn.relu": _numeric(lambda x: np.maximum(x, np.zeros((), x.dtype))),
    "nn.relu6": lambda args, attrs: np.clip(args[0], 0, 6).astype(args[0].dtype),
    "nn.leakyrelu": lambda args, attrs: np.where(
        args[0] > 0, args[0], args[0] * args[0].dtype.type(attrs.alpha)
    ),
    "nn.silu": _precise(lambda x: x / (1 + np.exp(-x))),
    "nn.batch_flatten": lambda args, attrs: args[0].reshape(args[0].shape[0], -1),
    "add": _numeric(np.add),
    "subtract": _numeric(np.subtract),
    "multiply": _numeric(np.multiply),
    "divide": _numeric(np.divide),
    "maximum": _numeric(np.maximum),
    "minimum": _numeric(np.minimum),
    "power": _numeric(np.power),
    "negative": _numeric(np.negative),
    "abs": _numeric(np.abs),
    "floor": _numeric(np.floor),
    "ceil": _numeric(np.ceil),
    "round": _numeric(np.rint),
    "exp": _precise(np.exp),
    "sqrt": _precise(np.sqrt),
    "tanh": _precise(np.tanh),
    "sigmoid": _precise(lambda x: 1 / (1 + np.exp(-x))),
    "clip": clip,
    "right_shift": right_shift,
    "left_shift": left_shift,
    "astype": astype,
    "quantize": quantize,
    "dequantize": dequantize,
    "sum": _reduction(np.sum),
    "mean": _reduction(np.mean),
    "max": _reduction(np.max),
    "min": _reduction(np.min),
    "reshape": lambda args, attrs: args[0].reshape(args[1]),
    "flatten": lambda args, attrs: args[0].reshape(-1),
    "concat": lambda args, attrs: np.concatenate(args[0], axis=attrs.axis),
    "stack": lambda args, attrs: np.stack(args[0], axis=attrs.axis),
    "nn.dropout": lambda args, attrs: (args[0], np.ones_like(args[0])),
    "broadcast_to": lambda args, attrs: np.broadcast_to(args[0], args[1]).copy(),
    "permute_dims": permute_dims,
    "squeeze": squeeze,
    "expand_dims": expand_dims,
    "strided_slice": strided_slice,
}
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {f"relax.{name}": operator for name, operator in _TABLE.items()}
)
