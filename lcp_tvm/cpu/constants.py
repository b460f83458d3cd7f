"""Constants that stay in the library's file.

    call_tir(kernel, (x, const))
    =>
    c = call_pure_packed("lcp_constant", 0)
    call_tir(kernel, (x, c))

TVM embeds constants as bytes, which every process copies into memory of its own. Read-only data
of the library needs no copy: its pages are read when they are used, shared by processes, and can
be dropped where memory is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi
from tvm import relax

from lcp_tvm.relay_passes.rewrite import is_call, is_constant

Array = npt.NDArray[Any]

LEAST_BYTES = 1024
"""Smaller ones stay where TVM puts them."""

ALIGNMENT = 64
"""Of an argument's first byte, as generated code expects it."""

HEADERS = Path(tvm_ffi.__file__).parent / "include"
"""What the source of `write_constants` includes."""

_FUNCTION = "lcp_constant"

_SOURCE = """\
#include <tvm/ffi/c_api.h>

__asm__(".section .rodata\\n.balign {alignment}\\n"
        ".globl lcp_constants\\n.protected lcp_constants\\n.type lcp_constants, %object\\n"
        "lcp_constants:\\n.incbin \\"{data}\\"\\n"
        ".size lcp_constants, . - lcp_constants\\n.previous\\n");
extern const char lcp_constants[];

{shapes}
static DLTensor constants[] = {{
{tensors}
}};

int __tvm_ffi_lcp_constant(void* self, const TVMFFIAny* args, int32_t count, TVMFFIAny* result) {{
  result->type_index = kTVMFFIDLTensorPtr;
  result->zero_padding = 0;
  result->v_int64 = 0;  // a pointer may be shorter
  result->v_ptr = &constants[args[0].v_int64];
  return 0;
}}
"""


def take_constants(module: tvm.IRModule) -> tuple[tvm.IRModule, tuple[Array, ...]]:
    """Return a module whose kernels get their constants of ``lcp_constant``, and those by number.

    Parameters
    ----------
    module : calls its kernels by ``call_tir``.
    """
    arrays: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    taken = module.clone()
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            taken[name] = _TakeConstants(module, arrays).visit_expr(function)
    return taken, tuple(np.frombuffer(data, dtype).reshape(shape) for dtype, shape, data in arrays)


@relax.expr_functor.mutator
class _TakeConstants(relax.PyExprMutator):  # type: ignore[misc]
    """Numbers constants in the order in which kernels read them; equal ones have one number."""

    def __init__(
        self, module: tvm.IRModule, arrays: dict[tuple[str, tuple[int, ...], bytes], int]
    ) -> None:
        super().__init__(module)
        self._arrays = arrays

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        if not is_call(call, "relax.call_tir"):
            return call
        arguments = [self._taken(argument) for argument in call.args[1].fields]
        args = [call.args[0], relax.Tuple(arguments), *call.args[2:]]
        return relax.Call(call.op, args, call.attrs, call.ty_args)

    def _taken(self, argument: Any) -> Any:
        if not is_constant(argument):
            return self.visit_expr(argument)
        array = argument.value.numpy()
        if array.nbytes < LEAST_BYTES:
            return argument
        key = (str(array.dtype), array.shape, array.tobytes())
        number = self._arrays.setdefault(key, len(self._arrays))
        return self.builder_.emit(
            relax.op.call_pure_packed(_FUNCTION, relax.prim_value(number), ty_args=[argument.ty])
        )


def write_constants(arrays: Sequence[Array], folder: Path) -> Path:
    """Write the source of ``lcp_constant`` and the data that it includes; return its path.

    The symbol ``lcp_constants`` has the data.
    """
    data = folder / "constants.bin"
    shapes: list[str] = []
    tensors: list[str] = []
    with data.open("wb") as stream:
        for number, array in enumerate(arrays):
            stream.write(bytes(-stream.tell() % ALIGNMENT))
            begin = stream.tell()
            stream.write(array.tobytes())
            kind = tvm_ffi.dtype(str(array.dtype))
            strides = [stride // array.itemsize for stride in array.strides]
            for what, sizes in (("shape", array.shape), ("strides", strides)):
                shapes.append(f"static int64_t {what}_{number}[] = {{{_commas(sizes)}}};")
            tensors.append(
                f"    {{(void*)(lcp_constants + {begin}), {{kDLCPU, 0}}, {array.ndim}, "
                f"{{{int(kind.type_code)}, {kind.bits}, 1}}, shape_{number}, strides_{number}, 0}},"
            )
    source = folder / "constants.c"
    source.write_text(
        _SOURCE.format(
            alignment=ALIGNMENT,
            data=data.resolve(),
            shapes="\n".join(shapes),
            tensors="\n".join(tensors),
        )
    )
    return source


def _commas(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
