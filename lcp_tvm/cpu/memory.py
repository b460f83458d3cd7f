"""What a call of a function takes besides its arguments and constants, as planned by TVM.

    storage = alloc_storage(n); map = alloc_tensor(storage); kernel(..., map); kill_object(map)

Maps lie in storages that the compiler has planned. A storage is there from its allocation until
it is killed with all maps in it. A kernel's scratch comes from the workspace of the thread that
runs it, which keeps the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import DataType, relax, tirx
from tvm.s_tir import SBlock


def planned_bytes(lowered: tvm.IRModule) -> dict[str, int]:
    """Return the most bytes that maps and scratch of a call take at a time, by function.

    Parameters
    ----------
    lowered : what TVM's pipeline has made of a Relax module.
    """
    scratch = {
        name.name_hint: _scratch_bytes(function)
        for name, function in lowered.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    return {
        name.name_hint: _function_bytes(function, scratch)
        for name, function in lowered.functions.items()
        if isinstance(function, relax.Function)
    }


def _function_bytes(function: relax.Function, scratch: Mapping[str, int]) -> int:
    storage_of: dict[relax.Var, relax.Var] = {}
    sizes: dict[relax.Var, int] = {}
    users: dict[relax.Var, set[relax.Var]] = {}
    most = held = widest = 0
    for block in function.body.blocks:
        for binding in block.bindings:
            var, call = binding.var, binding.value
            if not isinstance(call, relax.Call):
                continue
            name = _name(call)
            if name == "relax.vm.alloc_storage":
                storage_of[var] = var
                users[var] = {var}
                sizes[var] = math.prod(int(size) for size in call.args[0].values)
                held += sizes[var]
                most = max(most, held)
            elif name in ("relax.vm.alloc_tensor", "vm.builtin.reshape"):
                storage = storage_of.get(call.args[0])
                if storage is not None:
                    storage_of[var] = storage
                    users[storage].add(var)
            elif name == "relax.vm.kill_object":
                storage = storage_of.get(call.args[0])
                if storage is not None:
                    users[storage].discard(call.args[0])
                    held -= 0 if users[storage] else sizes[storage]
            else:
                widest = max(widest, scratch.get(name, 0))
    return most + widest


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
