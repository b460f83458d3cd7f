"""The forms of integer Relax that VTA runs, as patterns, and how a match becomes a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np
import tvm
from tvm import relax
from tvm.relax.dpl import DFPattern, is_const, is_op, wildcard

from lcp_tvm.vta.layer import (
    Concat,
    Conv,
    Layer,
    MaxPool,
    Plane,
    Pool,
    Requantise,
    Slope,
    Weights,
    Window,
    plane_of,
)

Match = Mapping[str, relax.Expr]

MOST_SHIFT = 6
"""To the left, by a factor that is an int8 number."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A pattern whose parts have names, and the reader of a match."""

    name: str
    pattern: DFPattern
    parts: Mapping[str, DFPattern]
    reader: Callable[[Match, str], Layer | None]

    def read(self, match: Match, name: str) -> Layer | None:
        """Return the layer of that name that a match is.

        None where it is not what it should be (a reshape that does not flatten, say); other
        patterns may then fit.
        """
        return self.reader(match, name) if _adds_to_channels(match) else None


def composites() -> list[Composite]:
    """All composites, the largest forms first: FuseOpsByPattern takes the first that fits."""
    return [
        _pooled_convolution(),
        *_convolutions(),
        *_denses(),
        *_additions(),
        *_averages(),
        _max_pool(),
        _concat(),
    ]


def _requantised(acc: DFPattern, parts: dict[str, DFPattern]) -> DFPattern:
    """[right_shift] [-> leaky ReLU] -> clip -> astype(int8)."""
    parts["shift"] = is_const()
    acc = is_op("relax.right_shift")(acc, parts["shift"]) | acc
    acc = _leaky(acc, parts) | acc
    parts["clip"] = is_op("relax.clip")(acc, wildcard(), wildcard())
    parts["result"] = is_op("relax.astype")(parts["clip"])
    return parts["result"]


def _leaky(acc: DFPattern, parts: dict[str, DFPattern]) -> DFPattern:
    """maximum(acc, multiply -> add -> right_shift)."""
    names = ("factor", "rounding", "leak")
    parts |= {f"slope_{name}": is_const() for name in names}
    factor, rounding, shift = (parts[f"slope_{name}"] for name in names)
    scaled = is_op("relax.add")(is_op("relax.multiply")(acc, factor), rounding)
    return is_op("relax.maximum")(acc, is_op("relax.right_shift")(scaled, shift))


def _operand(parts: dict[str, DFPattern], name: str, aligned: bool) -> DFPattern:
    """astype(int32) [-> left_shift]."""
    parts[name] = wildcard()
    wide = is_op("relax.astype")(parts[name])
    parts[f"{name}_wide"] = wide
    if not aligned:
        return wide
    parts[f"{name}_shift"] = is_const()
    return is_op("relax.left_shift")(wide, parts[f"{name}_shift"])


def _epilogues(anchor: str) -> Iterator[tuple[str, bool | None]]:
    """(composite name, residual operand aligned or not or None)."""
    for skip in (True, False, None):
        yield f"vta.{anchor}" + ("" if skip is None else "_add"), skip


def _finish(parts: dict[str, DFPattern], acc: DFPattern, skip: bool | None) -> DFPattern:
    parts["bias"] = is_const()
    acc = is_op("relax.add")(acc, parts["bias"])
    if skip is not None:
        acc = is_op("relax.add")(acc, _operand(parts, "skip", skip))
    return _requantised(acc, parts)


def _pooled_convolution() -> Composite:
    parts: dict[str, DFPattern] = {"data": wildcard(), "weight": is_const()}
    parts["anchor"] = is_op("relax.nn.conv2d")(parts["data"], parts["weight"])
    convolved = _finish(parts, parts["anchor"], None)
    parts["pool"] = parts["result"] = is_op("relax.nn.max_pool2d")(convolved)
    return Composite("vta.conv2d_max", parts["result"], parts, _read_conv)


def _convolutions() -> Iterator[Composite]:
    for op, read in (("conv2d", _read_conv), ("conv2d_transpose", _read_transposed)):
        for name, skip in _epilogues(op):
            parts: dict[str, DFPattern] = {"data": wildcard(), "weight": is_const()}
            parts["anchor"] = is_op(f"relax.nn.{op}")(parts["data"], parts["weight"])
            yield Composite(name, _finish(parts, parts["anchor"], skip), parts, read)


def _denses() -> Iterator[Composite]:
    for flatten in (True, False):
        for name, skip in _epilogues("dense"):
            parts: dict[str, DFPattern] = {"data": wildcard(), "weight": is_const()}
            data = parts["data"]
            if flatten:
                data = parts["flat"] = is_op("relax.reshape")(parts["data"], wildcard())
            parts["anchor"] = is_op("relax.matmul")(data, parts["weight"])
            pattern = _finish(parts, parts["anchor"], skip)
            yield Composite(name, pattern, parts, _read_dense)


def _additions() -> Iterator[Composite]:
    for left, right, rounded in product((True, False), repeat=3):
        parts: dict[str, DFPattern] = {}
        first = _operand(parts, "data", left)
        parts["anchor"] = is_op("relax.add")(first, _operand(parts, "skip", right))
        acc = parts["anchor"]
        if rounded:
            parts["bias"] = is_const()
            acc = is_op("relax.add")(acc, parts["bias"])
        yield Composite("vta.add", _requantised(acc, parts), parts, _read_add)


def _averages() -> Iterator[Composite]:
    for rounded in (True, False):
        parts: dict[str, DFPattern] = {"factor": is_const()}
        parts["anchor"] = is_op("relax.sum")(_operand(parts, "data", False))
        acc = is_op("relax.multiply")(parts["anchor"], parts["factor"])
        if rounded:
            parts["bias"] = is_const()
            acc = is_op("relax.add")(acc, parts["bias"])
        yield Composite("vta.mean", _requantised(acc, parts), parts, _read_mean)


def _max_pool() -> Composite:
    parts: dict[str, DFPattern] = {"data": wildcard()}
    parts["anchor"] = parts["result"] = is_op("relax.nn.max_pool2d")(parts["data"])
    return Composite("vta.max_pool2d", parts["result"], parts, _read_max_pool)


def _concat() -> Composite:
    parts: dict[str, DFPattern] = {"fields": wildcard()}
    parts["anchor"] = parts["result"] = is_op("relax.concat")(parts["fields"])
    return Composite("vta.concat", parts["result"], parts, _read_concat)


def operands(match: Match) -> list[relax.Expr]:
    """What a match reads from elsewhere."""
    if "fields" in match:
        return list(match["anchor"].args[0].fields)
    return [match[name] for name in ("data", "skip") if name in match]


def shape_of(expr: relax.Expr) -> tuple[int, ...]:
    """Static shape of a tensor expression."""
    return tuple(int(size) for size in expr.ty.shape)


def _array(expr: relax.Expr) -> np.ndarray:
    assert isinstance(expr, tvm.ir.GenericConst)
    array: np.ndarray = expr.value.numpy()
    return array


def _scalar(match: Match, name: str, default: int) -> int:
    return int(_array(match[name])) if name in match else default


def _requantise(match: Match) -> Requantise:
    clip = match["clip"]
    low, high = (int(bound.value) for bound in clip.args[1:])
    slope = None
    if "slope_factor" in match:
        factor, leak, rounding = (
            _scalar(match, f"slope_{name}", 0) for name in ("factor", "leak", "rounding")
        )
        slope = Slope(factor, leak, rounding)
    return Requantise(_scalar(match, "shift", 0), max(low, -128), min(high, 127), slope)


def _adds_to_channels(match: Match) -> bool:
    """Say whether what is added is one number for each channel, or one for all, if anything."""
    if "bias" not in match:
        return True
    rank, shape = len(shape_of(match["anchor"])), shape_of(match["bias"])
    aligned = (1,) * (rank - len(shape)) + shape
    return all(size == 1 for axis, size in enumerate(aligned) if axis != 1)


def _bias(match: Match, channels: int) -> np.ndarray:
    if "bias" not in match:
        return np.zeros(channels, dtype=np.int32)
    bias = _array(match["bias"]).astype(np.int32).reshape(-1)
    return np.broadcast_to(bias, (channels,)).copy()


def _is_int8(*exprs: relax.Expr) -> bool:
    return all(str(expr.ty.dtype) == "int8" for expr in exprs)


def _four(padding: tuple[int, ...]) -> tuple[int, int, int, int]:
    top, left, bottom, right = (int(pad) for pad in padding)
    return top, left, bottom, right


def _two(values: tuple[int, ...]) -> tuple[int, int]:
    first, second = (int(value) for value in values)
    return first, second


def _skip_shift(match: Match, target: tuple[int, ...]) -> int | str | None:
    if "skip" not in match:
        return None
    if not _is_int8(match["skip"]) or shape_of(match["skip"]) != target:
        return "unfit"
    return _scalar(match, "skip_shift", 0)


def _read_conv(match: Match, name: str) -> Layer | None:
    conv, data, weight = match["anchor"], match["data"], match["weight"]
    attrs, target = conv.attrs, shape_of(conv)
    skip = _skip_shift(match, target)
    if not _is_int8(data, weight) or attrs.data_layout != "NCHW" or isinstance(skip, str):
        return None
    if "pool" in match and match["pool"].attrs.layout != "NCHW":
        return None
    kernel = _array(weight)
    return Conv(
        name=name,
        kind="conv2d",
        source=plane_of(shape_of(data)),
        target=plane_of(target),
        window=Window(
            _two(kernel.shape[2:]), _two(attrs.strides), _two(attrs.dilation), _four(attrs.padding)
        ),
        weights=Weights.DENSE,
        weight=kernel,
        bias=_bias(match, target[1]),
        requantise=_requantise(match),
        skip_shift=skip,
        macs=_useful_taps(kernel) * prod(target),
        groups=int(attrs.groups),
        pool=_pool(match["pool"]) if "pool" in match else None,
    )


def _read_transposed(match: Match, name: str) -> Layer | None:
    """A transposed convolution slides its kernel, turned round, over a spread plane."""
    conv, data, weight = match["anchor"], match["data"], match["weight"]
    attrs, source, target = conv.attrs, shape_of(data), shape_of(conv)
    layouts = (attrs.data_layout, attrs.kernel_layout)
    skip = _skip_shift(match, target)
    if not _is_int8(data, weight) or layouts != ("NCHW", "IOHW") or isinstance(skip, str):
        return None
    kernel = turned(_array(weight), int(attrs.groups))
    window = Window(_two(kernel.shape[2:]), (1, 1), _two(attrs.dilation))
    before, added = _four(attrs.padding), (0, 0, *_two(attrs.output_padding))
    padding = [
        size - 1 - pad + more
        for size, pad, more in zip(window.extent * 2, before, added, strict=True)
    ]
    return Conv(
        name=name,
        kind="conv2d_transpose",
        source=plane_of(source),
        target=plane_of(target),
        window=replace(window, padding=_four(tuple(padding)), spread=_two(attrs.strides)),
        weights=Weights.DENSE,
        weight=kernel,
        bias=_bias(match, target[1]),
        requantise=_requantise(match),
        skip_shift=skip,
        macs=_useful_taps(kernel) * target[1] * source[0] * prod(source[2:]),
        groups=int(attrs.groups),
    )


def turned(weight: np.ndarray, groups: int) -> np.ndarray:
    """``[I, O / groups, kh, kw]`` of a transposed convolution as ``[O, I / groups, kh, kw]``."""
    inputs, outputs, height, width = weight.shape
    split = weight.reshape(groups, inputs // groups, outputs, height, width)
    kernel = split.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, height, width)
    return np.ascontiguousarray(kernel[:, :, ::-1, ::-1])


def _pool(call: relax.Call) -> Pool:
    return Pool(_pool_window(call), plane_of(shape_of(call)))


def _pool_window(call: relax.Call) -> Window:
    attrs = call.attrs
    return Window(
        _two(attrs.pool_size), _two(attrs.strides), _two(attrs.dilation), _four(attrs.padding)
    )


def _useful_taps(kernel: np.ndarray) -> int:
    """Weights of one output that are not padding (a folded kernel has lanes of zeros)."""
    return int(np.count_nonzero(kernel.any(axis=0)))


def _read_dense(match: Match, name: str) -> Layer | None:
    data, weight = match["data"], match["weight"]
    shape, target = shape_of(data), shape_of(match["anchor"])
    skip = _skip_shift(match, target)
    if not _is_int8(data, weight) or isinstance(skip, str) or len(target) != 2:
        return None
    matrix = _array(weight)
    frames, *values = shape
    if frames != target[0] or len(values) not in (1, 3) or prod(values) != matrix.shape[0]:
        return None
    source = plane_of(shape)
    kernel = matrix.T.reshape(target[1], source.channels, source.height, source.width)
    return Conv(
        name=name,
        kind="dense",
        source=source,
        target=plane_of(target),
        window=Window((source.height, source.width)),
        weights=Weights.DENSE,
        weight=np.ascontiguousarray(kernel),
        bias=_bias(match, target[1]),
        requantise=_requantise(match),
        skip_shift=skip,
        macs=int(kernel.size) * frames,
    )


def _read_add(match: Match, name: str) -> Layer | None:
    data, target = match["data"], shape_of(match["anchor"])
    skip = _skip_shift(match, target)
    fits = _is_int8(data) and shape_of(data) == target and len(target) in (2, 4)
    shift = _scalar(match, "data_shift", 0)
    if not fits or isinstance(skip, str) or (shift > MOST_SHIFT and not skip):
        return None  # the form that shifts the other operand fits then, whichever comes first
    return _diagonal(match, name, "add", plane_of(target), 1 << shift, skip)


def _read_mean(match: Match, name: str) -> Layer | None:
    data = match["data"]
    if not _is_int8(data) or len(shape_of(data)) != 4:
        return None
    if sorted(int(axis) % 4 for axis in match["anchor"].attrs.axis or ()) != [2, 3]:
        return None
    target = plane_of(shape_of(match["anchor"]))
    return _diagonal(match, name, "mean", target, _scalar(match, "factor", 1), None)


def _diagonal(
    match: Match, name: str, kind: str, target: Plane, factor: int, skip: int | None
) -> Conv:
    """A layer that scales by one factor: its kernel covers what one output sums up."""
    source = plane_of(shape_of(match["data"]))
    kernel = (source.height, source.width) if kind == "mean" else (1, 1)
    return Conv(
        name=name,
        kind=kind,
        source=source,
        target=target,
        window=Window(kernel),
        weights=Weights.UNIFORM,
        weight=np.array(factor, dtype=np.int64),
        bias=_bias(match, target.channels),
        requantise=_requantise(match),
        skip_shift=skip,
        macs=0,
    )


def _read_concat(match: Match, name: str) -> Layer | None:
    call = match["anchor"]
    fields, target = call.args[0].fields, shape_of(call)
    if (
        not _is_int8(*fields)
        or len(target) not in (2, 4)
        or int(call.attrs.axis) % len(target) != 1
    ):
        return None
    sources = tuple(plane_of(shape_of(field)) for field in fields)
    return Concat(name=name, kind="concat", sources=sources, target=plane_of(target))


def _read_max_pool(match: Match, name: str) -> Layer | None:
    call, data = match["anchor"], match["data"]
    attrs, source, target = call.attrs, plane_of(shape_of(data)), plane_of(shape_of(call))
    if not _is_int8(data) or attrs.layout != "NCHW":
        return None
    return MaxPool(
        name=name,
        kind="max_pool2d",
        source=source,
        target=target,
        window=_pool_window(call),
    )
