"""Every call has one piece of memory for its maps, which the next call finds there.

    map = builtin.alloc_tensor(shape)
    =>
    workspace = call_packed("lcp_tvm.Workspace", bytes)
    map = call_packed("lcp_tvm.WorkspaceMap", workspace, begin, shape)

The native library keeps a workspace for the next call (native/src/workspace.cc). Results, which
their reader has for as long as it likes, stay allocations of their own. A kernel's scratch comes
from TVM's workspace of the thread that runs it, which is kept too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import DataType, relax, tirx
from tvm.relax import backend, transform
from tvm.s_tir import SBlock

from lcp_tvm.cpu.workspace import Life, lay_out
from lcp_tvm.relay_passes.rewrite import is_call, operands_of

_ALLOCATION = "relax.builtin.alloc_tensor"
_NO_ALIAS = frozenset(("lcp_constant",))
"""Functions called by name whose results have memory of their own."""


def lower(module: tvm.IRModule) -> tuple[tvm.IRModule, dict[str, int]]:
    """Return a module that TVM's virtual machine runs, and what calls of its functions take.

    That is TVM's default pipeline but for the memory of maps.

    Returns
    -------
    The most bytes that maps, results and scratch of a call take at a time, by function.
    """
    before = tvm.transform.Sequential(
        [
            backend.DispatchSampling(),
            backend.DispatchSortScan(),
            transform.LegalizeOps(),
            transform.RewriteDataflowReshape(),
            transform.ToNonDataflow(),
            transform.RemovePurityChecking(),
            transform.CallTIRRewrite(),
        ]
    )
    after = tvm.transform.Sequential(
        [
            transform.LowerAllocTensor(),
            transform.KillAfterLastUse(),
            transform.LowerRuntimeBuiltin(),
            transform.ComputePrimValue(),
            transform.VMShapeLower(),
            transform.AttachGlobalSymbol(),
        ]
    )
    planned, sizes = plan_maps(before(module))
    return after(planned), sizes


def plan_maps(module: tvm.IRModule) -> tuple[tvm.IRModule, dict[str, int]]:
    """Give the maps of each function a workspace, and say what its calls take.

    Parameters
    ----------
    module : its kernels are called with the memory of their results (TVM's ``CallTIRRewrite``).
    """
    scratch = {
        name.name_hint: _scratch_bytes(function)
        for name, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    planned, sizes = module.clone(), {}
    for name, function in module.functions.items():
        if not isinstance(function, relax.Function):
            continue
        lives, results = _lives_of(function)
        room = lay_out(list(lives.values()))
        if lives:
            begins = dict(zip(lives, room.begins, strict=True))
            planned[name] = _Planned(module, begins, room.size).visit_expr(function)
        sizes[name.name_hint] = room.size + results + _widest(function, scratch)
    return planned, sizes


def _lives_of(function: relax.Function) -> tuple[dict[relax.Call, Life], int]:
    """Return when each map is there, by its allocation, but for results, and these' bytes."""
    bindings = [one for block in function.body.blocks for one in block.bindings]
    made: dict[relax.Var, int] = {}  # where each map begins to be there
    maps: dict[relax.Var, frozenset[relax.Var]] = {}  # that a variable may be, or be part of
    last: dict[relax.Var, int] = {}
    for step, binding in enumerate(bindings):
        var, value = binding.var, binding.value
        read = frozenset().union(*(maps.get(one, ()) for one in _variables(value)))
        last.update(dict.fromkeys(read, step))
        if is_call(value, _ALLOCATION) and _bytes_of(var) is not None:
            made[var] = step
            maps[var] = frozenset((var,))
        elif not _has_own_memory(value):
            maps[var] = read
    results = frozenset().union(*(maps.get(one, ()) for one in _variables(function.body.body)))
    lives = {
        bindings[step].value: Life(step, last.get(var, step), _bytes_of(var) or 0)
        for var, step in made.items()
        if var not in results
    }
    return lives, sum(_bytes_of(var) or 0 for var in results)


def _variables(value: Any) -> set[relax.Var]:
    """Return the variables that an expression reads."""
    return {one for one in operands_of(value) if isinstance(one, relax.Var)}


def _has_own_memory(value: Any) -> bool:
    """Say whether what is bound shares no memory with what it was computed from."""
    if not isinstance(value, relax.Call):
        return False
    is_kernel = isinstance(value.op, tvm.ir.GlobalVar)
    return is_kernel or _name(value) in _NO_ALIAS


def _bytes_of(var: relax.Var) -> int | None:
    """Return the bytes of a tensor whose shape is known."""
    if var.ty.shape is None or any(not hasattr(size, "value") for size in var.ty.shape):
        return None
    size = math.prod(int(size.value) for size in var.ty.shape)
    return size * int(DataType(str(var.ty.dtype)).itemsize)


@relax.expr_functor.mutator
class _Planned(relax.PyExprMutator):  # type: ignore[misc]
    """Takes maps from a workspace."""

    def __init__(self, module: tvm.IRModule, begins: Mapping[relax.Call, int], size: int) -> None:
        """``begins`` are of allocations; the workspace has ``size`` bytes."""
        super().__init__(module)
        self._begins, self._size = begins, size
        self._workspace: relax.Var | None = None

    def visit_call_(self, call: tvm.ir.Call) -> Any:
        begin = self._begins.get(call)
        if begin is None:
            return super().visit_call_(call)
        if self._workspace is None:
            whole = relax.TensorType((self._size,), "uint8")
            size = relax.prim_value(self._size)
            self._workspace = self.builder_.emit(_packed("Workspace", whole, size))
        shape, dtype = call.args[:2]
        arguments = self._workspace, relax.prim_value(begin), shape, dtype
        return _packed("WorkspaceMap", call.ty, *arguments)


def _packed(name: str, made: Any, *arguments: Any) -> relax.Call:
    """Return the call of a function of the native library."""
    return relax.Call(relax.ExternFunc(f"lcp_tvm.{name}"), list(arguments), None, [made])


def _widest(function: relax.Function, scratch: Mapping[str, int]) -> int:
    """Return the most bytes of scratch that a kernel of a function takes."""
    values = (one.value for block in function.body.blocks for one in block.bindings)
    names = (_name(value) for value in values if isinstance(value, relax.Call))
    return max((scratch.get(name, 0) for name in names), default=0)


def _name(call: Any) -> str:
    """Return the name of what is called: an operator, a kernel, or a packed function."""
    if isinstance(call.op, tvm.ir.GlobalVar):
        return str(call.op.name_hint)
    if isinstance(call.op, relax.ExternFunc):
        return str(call.op.global_symbol)
    return str(call.op.name)


def _scratch_bytes(function: tirx.PrimFunc) -> int:
    """Return the bytes of all buffers that a kernel has of its own."""
    buffers: list[Any] = []
    blocks = SBlock, lambda block: buffers.extend(block.alloc_buffers)
    tvm_ffi.structural_walk(function.body, blocks)
    sizes = (math.prod(map(int, one.shape)) * DataType(one.dtype).itemsize for one in buffers)
    return sum(sizes)
