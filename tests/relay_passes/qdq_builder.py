"""Builds small QDQ modules for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R


class Qdq:
    """A Relax function under construction; ``x`` is its input."""

    def __init__(self, *shape: int) -> None:
        self.x = relax.Var("x", relax.TensorType(shape, "float32"))
        self._builder = relax.BlockBuilder()

    def emit(self, expr: Any, name: str = "") -> Any:
        return self._builder.emit(expr, name_hint=name)

    def quantise(self, value: Any, bits: int, name: str = "q") -> Any:
        """A quantize/dequantize pair."""
        scale, zero = relax.const(2.0**-bits, "float32"), relax.const(0, "int8")
        narrow = self.emit(R.quantize(value, scale, zero, out_dtype="int8"), name)
        return self.emit(R.dequantize(narrow, scale, zero), f"{name}_real")

    def weight(self, data: np.ndarray[Any, Any], bits: int) -> Any:
        """int8 or int32 integers as a dequantised constant."""
        zero = relax.const(np.zeros((), data.dtype))
        return self.emit(R.dequantize(relax.const(data), relax.const(2.0**-bits, "float32"), zero))

    def build(self, body: Callable[[Qdq], Any]) -> tvm.IRModule:
        """The module whose ``main`` returns what ``body`` makes of ``self``."""
        with self._builder.function("main", [self.x]):
            with self._builder.dataflow():
                result = self._builder.emit_output(body(self))
            self._builder.emit_func_output(result)
        return self._builder.get()


def operators(module: tvm.IRModule) -> list[str]:
    """Names of the operators of ``main`` in order."""
    return [
        binding.value.op.name.removeprefix("relax.")
        for block in module["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, tvm.ir.Call)
    ]
