"""First convolution -> the same on a picture whose pixels are folded into its channels.

    y = conv2d(x, w7x7, strides=2, padding=3)                   x [1, 3, 224, 224]
    =>  f = concat(slice(pad(x), row a, column b) for a, b)      f [1, 15, 230, 113]
        y = conv2d(f, w7x2, strides=(2, 1), dilation=(1, 2))

VTA multiplies 16 channels at a time; a picture has one or three. Folding neighbouring pixels
into the free channels makes the kernel smaller: 14 positions in place of 49 here. With as many
rows and columns as the stride it is space-to-depth. The host folds when it packs the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

_ENTRY_OPS = frozenset(
    f"relax.{name}" for name in ("add", "astype", "clip", "divide", "multiply", "round", "subtract")
)
"""Operators that turn the float input into the int8 tensor the first convolution reads."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Folding along one side: ``lanes`` pixels become channels, ``step`` pixels a position.

    ``taps`` kernel positions are left, ``dilation`` positions apart, moving by ``stride``.
    """

    lanes: int
    step: int
    taps: int
    dilation: int
    stride: int


@dataclass(frozen=True, slots=True)
class Folding:
    """How a convolution's rows and columns are folded."""

    rows: Fold
    columns: Fold

    @property
    def taps(self) -> int:
        return self.rows.taps * self.columns.taps

    @property
    def lanes(self) -> int:
        return self.rows.lanes * self.columns.lanes


def _folds(kernel: int, stride: int) -> Iterator[Fold]:
    """Ways to fold a side: not at all, the whole kernel, or multiples of the stride."""
    yield Fold(1, 1, kernel, 1, stride)
    for lanes in range(2, kernel + 1):
        if lanes == kernel or lanes % stride == 0:
            yield Fold(lanes, stride, -(-kernel // lanes), max(lanes // stride, 1), 1)


def best_folding(
    channels: int, kernel: tuple[int, int], stride: tuple[int, int], block: int
) -> Folding | None:
    """The folding that leaves the fewest kernel positions, None when none saves any.

    Parameters
    ----------
    block : channels that a folded picture may have.
    """
    foldings = (
        Folding(rows, columns)
        for rows, columns in product(_folds(kernel[0], stride[0]), _folds(kernel[1], stride[1]))
    )
    fitting = [folding for folding in foldings if folding.lanes * channels <= block]
    best = min(fitting, key=lambda f: (f.taps, f.lanes), default=None)
    return best if best is not None and best.taps < kernel[0] * kernel[1] else None


def fold_input(module: tvm.IRModule, block: int) -> tvm.IRModule:
    """Fold the pixels of ``main``'s input for convolutions that read it straight.

    Parameters
    ----------
    module : integer Relax, see docs/architecture.md.
    block : channels that the accelerator multiplies at a time.
    """
    folded = tvm.IRModule(dict(module.functions), attrs=module.attrs)
    main = module["main"]
    mutator = _FoldInput(module, main, block)
    folded.update_func(folded.get_global_var("main"), mutator.visit_expr(main))
    return folded


@relax.expr_functor.mutator
class _FoldInput(relax.PyExprMutator):  # type: ignore[misc]
    """Rewrites the convolutions whose data comes from the parameters by entry operators alone."""

    def __init__(self, module: tvm.IRModule, main: relax.Function, block: int) -> None:
        super().__init__(module)
        self._block = block
        self._entry = _entry_vars(main)

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        visited = super().visit_call_(call)
        if call.op != tvm.ir.Op.get("relax.nn.conv2d") or call.args[0] not in self._entry:
            return visited
        weight = call.args[1]
        attrs = call.attrs
        plain = attrs.groups == 1 and all(int(d) == 1 for d in attrs.dilation)
        if not plain or not isinstance(weight, tvm.ir.GenericConst):
            return visited
        array = weight.value.numpy()
        stride = int(attrs.strides[0]), int(attrs.strides[1])
        folding = best_folding(array.shape[1], array.shape[2:], stride, self._block)
        if folding is None:
            return visited
        size = tuple(int(side) for side in list(call.ty.shape)[2:])
        return self._folded(visited.args[0], array, attrs, folding, size)

    def _folded(
        self,
        data: relax.Expr,
        weight: np.ndarray,
        attrs: tvm.ir.Attrs,
        folding: Folding,
        size: tuple[int, ...],
    ) -> relax.Expr:
        pads = [int(pad) for pad in attrs.padding]
        source = [int(side) for side in list(data.ty.shape)[2:]]
        emit = self.builder_.emit
        kept, added, spans = [], [], []
        for side, fold in enumerate((folding.rows, folding.columns)):
            before, after = pads[side], pads[side + 2]
            if fold.lanes == 1:
                kept.append((before, after))
                added += [0, 0]
                spans.append((source[side], 1))
                continue
            positions = size[side] + (fold.taps - 1) * fold.dilation
            missing = (positions - 1) * fold.step + fold.lanes - before - source[side]
            kept.append((0, 0))
            added += [before, max(missing, 0)]
            spans.append((positions, fold.step))
        if any(added):
            data = emit(R.nn.pad(data, [0, 0, 0, 0, *added], pad_value=0))
        slices = []
        for row, column in product(range(folding.rows.lanes), range(folding.columns.lanes)):
            ends = [
                begin + (count - 1) * step + 1
                for begin, (count, step) in zip((row, column), spans, strict=True)
            ]
            steps = [step for _, step in spans]
            slices.append(emit(R.strided_slice(data, [2, 3], [row, column], ends, steps)))
        stacked = emit(R.concat(slices, axis=1))
        (top, bottom), (left, right) = kept
        return R.nn.conv2d(
            stacked,
            relax.const(fold_weight(weight, folding)),
            strides=[folding.rows.stride, folding.columns.stride],
            padding=[top, left, bottom, right],
            dilation=[folding.rows.dilation, folding.columns.dilation],
            out_dtype="int32",
        )


def fold_weight(weight: np.ndarray, folding: Folding) -> np.ndarray:
    """Kernels ``[O, I, kh, kw]`` for a folded picture: ``[O, rows * columns * I, taps, taps]``."""
    outputs, channels, height, width = weight.shape
    rows, columns = folding.rows, folding.columns
    full = np.zeros(
        (outputs, channels, rows.taps * rows.lanes, columns.taps * columns.lanes), weight.dtype
    )
    full[:, :, :height, :width] = weight
    split = full.reshape(outputs, channels, rows.taps, rows.lanes, columns.taps, columns.lanes)
    lanes_first = split.transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(
        lanes_first.reshape(outputs, folding.lanes * channels, rows.taps, columns.taps)
    )


def _entry_vars(main: relax.Function) -> set[relax.Var]:
    """The parameters, and what entry operators make of them and of constants."""
    entry: set[relax.Var] = set(main.params)
    for block in main.body.blocks:
        for binding in block.bindings:
            value = binding.value
            if not isinstance(value, tvm.ir.Call) or not isinstance(value.op, tvm.ir.Op):
                continue
            tensors = [arg for arg in value.args if isinstance(arg, tvm.ir.Var)]
            if value.op.name in _ENTRY_OPS and tensors and all(arg in entry for arg in tensors):
                entry.add(binding.var)
    return entry
