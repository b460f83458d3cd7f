"""The torch form of layers with weights: convolution, transposed convolution, dense."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tvm import relax

from lcp_tvm.quantise.graph import op_name, shape_of
from lcp_tvm.train.attributes import ints, require, sides_of

Sum = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""(data, weight, bias or None) -> sums of products."""


def _apart(_count: int) -> Sum:
    raise ValueError("these products cannot be computed side by side")


@dataclass(frozen=True, slots=True)
class Product:
    """A convolution, transposed convolution or dense layer.

    Attributes
    ----------
    axis : of output channels in the weight.
    groups : how often that axis is meant: a transposed convolution's groups lie along axis 0.
    kind : products of equal kinds differ in their weights alone; None if they cannot be computed
        side by side.
    is_whole : whether each channel of the result reads all of the operand's.
    beside : of a number, as many such products, each of its own part of the channels; weights lie
        side by side along ``axis``.
    """

    compute: Sum
    axis: int
    groups: int = 1
    kind: Hashable = None
    is_whole: bool = False
    beside: Callable[[int], Sum] = _apart


def build_product(name: str, call: relax.Call) -> Product:
    """Return what a layer does with its weight and bias."""
    op = op_name(call)
    kind = op, str(call.attrs), tuple(shape_of(call.args[0])), tuple(shape_of(call.args[1]))
    if op == "nn.conv2d_transpose":
        return Product(_conv2d_transpose(name, call), axis=1, groups=int(call.attrs.groups))
    if op == "matmul":
        if len(shape_of(call)) != 2:
            return Product(_matmul(name, call), 1)
        return Product(_matmul(name, call), 1, 1, kind, True, _matmuls)
    is_whole = int(call.attrs.groups) == 1
    return Product(
        _conv2d(name, call), 0, 1, kind, is_whole, lambda count: _conv2d(name, call, count)
    )


def _conv2d(name: str, call: relax.Call, beside: int = 1) -> Sum:
    """Return so many such convolutions side by side."""
    attrs = call.attrs
    require(name, call, "data_layout", ("NCHW",))
    require(name, call, "kernel_layout", ("OIHW",))
    require(name, call, "out_dtype", ("None", "", "float32", "int32"))
    strides, dilation = ints(attrs.strides), ints(attrs.dilation)
    padding, groups = ints(attrs.padding), beside * int(attrs.groups)
    if padding[:2] == padding[2:]:
        both = padding[:2]
        return lambda x, w, b: F.conv2d(x, w, b, strides, both, dilation, groups)
    sides = sides_of(padding)
    return lambda x, w, b: F.conv2d(F.pad(x, sides), w, b, strides, 0, dilation, groups)


def _conv2d_transpose(name: str, call: relax.Call) -> Sum:
    attrs = call.attrs
    require(name, call, "data_layout", ("NCHW",))
    require(name, call, "kernel_layout", ("IOHW",))
    require(name, call, "out_dtype", ("None", "", "float32", "int32"))
    strides, dilation, groups = ints(attrs.strides), ints(attrs.dilation), int(attrs.groups)
    (top, left, bottom, right), extra = ints(attrs.padding), ints(attrs.output_padding)
    if (top, left) == (bottom, right):
        return lambda x, w, b: F.conv_transpose2d(
            x, w, b, strides, (top, left), extra, groups, dilation
        )
    rows, columns = shape_of(call)[2:]

    # Padding of a transposed convolution crops its result; output padding lets it reach farther.
    def cropped(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        whole = F.conv_transpose2d(x, w, b, strides, 0, extra, groups, dilation)
        return whole[:, :, top : top + rows, left : left + columns]

    return cropped


def _matmul(name: str, call: relax.Call) -> Sum:
    require(name, call, "out_dtype", ("None", "", "float32", "int32"))

    def product(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        return torch.matmul(x, w) if b is None else torch.addmm(b, x, w)

    return product


def _matmuls(count: int) -> Sum:
    """Return so many products of matrices side by side."""

    def product(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        operands = x.reshape(len(x), count, -1).transpose(0, 1)
        weights = w.reshape(len(w), count, -1).transpose(0, 1)
        made = torch.bmm(operands, weights).transpose(0, 1).reshape(len(x), -1)
        return made if b is None else made + b

    return product


SUMS: dict[str, Callable[[str, relax.Call], Sum]] = {
    "nn.conv2d": _conv2d,
    "nn.conv2d_transpose": _conv2d_transpose,
    "matmul": _matmul,
}
