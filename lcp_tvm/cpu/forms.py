"""Maps as NCHW and in blocks: each is converted when its other form is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax, tirx

from lcp_tvm.cpu.blocked import Blocked, Dtype, Halo
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernel_body import KernelBody, Kernels, replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Maps of some numbers, and the kernels that change how they lie.

    Attributes
    ----------
    stem : what the names of kernels begin with.
    dtype : of maps in blocks; ``sums`` of the numbers that steps have for each channel.
    block, unblock : of a name and a layout.
    concat : of a name, and layouts of the parts and of the whole.
    """

    stem: str
    dtype: Dtype
    sums: str
    block: Callable[[str, Blocked], tirx.PrimFunc]
    unblock: Callable[[str, Blocked], tirx.PrimFunc]
    concat: Callable[[str, Sequence[Blocked], Blocked], tirx.PrimFunc]


class Forms:
    """The variables of a function under construction.

    Parameters
    ----------
    lanes : of blocks, unless told otherwise.
    halos : of variables in blocks of some lanes.
    """

    def __init__(
        self,
        function: relax.Function,
        kernels: Kernels,
        kind: Kind,
        lanes: int,
        halos: Mapping[tuple[relax.Var, int], Halo],
    ) -> None:
        self._function, self._kernels, self._kind = function, kernels, kind
        self._lanes, self._halos = lanes, halos
        self._body = KernelBody()
        self._plain: dict[relax.Var, relax.Var] = {one: one for one in function.params}
        self._blocked: dict[relax.Var, dict[int, tuple[Blocked, relax.Var]]] = {}

    def function(self) -> relax.Function:
        """Return the function, whose results are plain."""
        results = replaced(self._function.body.body, self.plain)
        return self._body.function(self._function, results)

    def layout(self, var: relax.Var, lanes: int | None = None) -> Blocked:
        """Return how a variable lies in blocks."""
        lanes = lanes or self._lanes
        batch, channels, height, width = (int(size) for size in var.ty.shape)
        halo = self._halos.get((var, lanes), Halo())
        return Blocked(batch, channels, height, width, lanes, halo, self._kind.dtype)

    def is_blocked(self, value: Any) -> bool:
        """Say whether a value is a variable that is there in blocks of the usual lanes."""
        return isinstance(value, relax.Var) and self._lanes in self._blocked.get(value, {})

    def blocked(self, var: relax.Var, lanes: int | None = None) -> tuple[Blocked, relax.Var]:
        """Return a variable in blocks, as it is or converted."""
        lanes = lanes or self._lanes
        forms = self._blocked.setdefault(var, {})
        if lanes not in forms:
            layout = self.layout(var, lanes)
            kernel = self._kernels.get(
                f"{self._kind.stem}block", layout, lambda name: self._kind.block(name, layout)
            )
            arguments, name = [self.plain(var)], f"{var.name}_blocks"
            forms[lanes] = layout, self._body.call(kernel, arguments, _type(layout), name)
        return forms[lanes]

    def plain(self, var: relax.Var) -> relax.Var:
        """Return a variable as NCHW, as it is or converted."""
        if var not in self._plain:
            ((layout, data),) = self._blocked[var].values()
            self._unblock(layout, data, var)
        return self._plain[var]

    def crop(self, whole: relax.Var, var: relax.Var, top: int, left: int) -> None:
        """Compute some rows and columns of a variable in blocks as NCHW, and no more of it."""
        layout, data = self.blocked(whole)
        height, width = (int(size) for size in list(var.ty.shape)[2:])
        self._unblock(layout.cropped(top, left, height, width), data, var)

    def _unblock(self, layout: Blocked, data: relax.Var, var: relax.Var) -> None:
        kernel = self._kernels.get(
            f"{self._kind.stem}unblock", layout, lambda name: self._kind.unblock(name, layout)
        )
        self.compute_plain(kernel, [data], var)

    def keep(self, value: Any, var: relax.Var) -> None:
        """Compute a variable as it was, of plain ones."""
        self._plain[var] = self._body.bind(replaced(value, self.plain), var.name, var)

    def compute(
        self, kernel: tvm.ir.GlobalVar, arguments: Sequence[Any], var: relax.Var, out: Blocked
    ) -> None:
        """Compute a variable in blocks."""
        made = self._body.call(kernel, list(arguments), _type(out), var.name)
        self._blocked.setdefault(var, {})[out.lanes] = out, made

    def compute_plain(
        self, kernel: tvm.ir.GlobalVar, arguments: Sequence[Any], var: relax.Var
    ) -> None:
        """Compute a variable as NCHW, or what is no map."""
        self._plain[var] = self._body.call(kernel, list(arguments), var.ty, var.name)

    def join(self, parts: Sequence[relax.Var], var: relax.Var) -> None:
        """Compute the blocks of parts beside each other."""
        out, inputs = self.layout(var), [self.blocked(one) for one in parts]
        layouts = tuple(layout for layout, _ in inputs)
        kernel = self._kernels.get(
            f"{self._kind.stem}concat",
            (layouts, out),
            lambda name: self._kind.concat(name, layouts, out),
        )
        self.compute(kernel, [data for _, data in inputs], var, out)

    def operands(
        self, steps: Sequence[Step], operands: Sequence[Any], out: Blocked
    ) -> tuple[list[Any], tuple[Blocked, ...]]:
        """Return what steps read, packed, and the layouts of maps."""
        found, maps = [], []
        readers = [step for step in steps if step.has_operand]
        for step, operand in zip(readers, operands, strict=True):
            if step.kind == "add":
                layout, data = self.blocked(operand)
                maps.append(layout)
                found.append(data)
            else:
                values = self.per_channel(operand, out.channels, out.blocks * out.lanes)
                found.append(relax.const(values.reshape(out.blocks, out.lanes)))
        return found, tuple(maps)

    def per_channel(self, operand: Any, channels: int, size: int) -> NDArray[Any]:
        """Return a constant's number for each channel, and zeros up to a size."""
        values = operand if isinstance(operand, np.ndarray) else operand.value.numpy()
        padded = np.zeros(size, values.dtype)
        padded[:channels] = values.reshape(-1)
        return padded.astype(self._kind.sums)  # sums of 32 bits wrap around


def _type(layout: Blocked) -> relax.TensorType:
    return relax.TensorType(layout.shape, layout.dtype)
