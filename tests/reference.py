"""An independent numpy reference: evaluates a Relax module operator by operator.

Only the syntax tree and the constants are read; no TVM code computes anything. What an operator
does is in `reference_ops.py`. Every value is compared with the type its variable declares.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from tests.reference_ops import OPERATORS

Array = npt.NDArray[Any]
Value = Array | int | float | tuple[Any, ...]


def evaluate(module: tvm.IRModule, *inputs: Array) -> Any:
    """Result of ``main(*inputs)``: an array, or a tuple of arrays.

    Raises
    ------
    NotImplementedError
        An operator that the reference does not know; names it.
    ValueError
        A value differs in shape or type from what its variable declares.
    """
    return _Evaluation(module).call(module["main"], [np.asarray(x) for x in inputs], "")


def evaluate_all(module: tvm.IRModule, x: Array) -> dict[str, Any]:
    """Every value of ``main(x)`` by the name of its variable; ``function.name`` inside calls."""
    evaluation = _Evaluation(module)
    evaluation.call(module["main"], [np.asarray(x)], "")
    return evaluation.values


class _Evaluation:
    """One walk through a module, keeping every value by name."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.module = module
        self.values: dict[str, Any] = {}

    def call(self, function: relax.Function, arguments: list[Any], prefix: str) -> Any:
        """Evaluate a Relax function; `prefix` goes before the names of its variables."""
        if len(function.params) != len(arguments):
            raise ValueError(f"{prefix}: {len(arguments)} arguments, {len(function.params)} wanted")
        scope: dict[Any, Any] = {}
        for parameter, argument in zip(function.params, arguments, strict=True):
            self._bind(parameter, argument, scope, prefix)
        return self._expression(function.body, scope, prefix)

    def _bind(self, var: Any, value: Any, scope: dict[Any, Any], prefix: str) -> None:
        name = prefix + var.name
        _check_declared(name, var.ty, value)
        scope[var] = value
        if not isinstance(value, relax.Function):
            self.values[name] = value

    def _expression(self, expression: Any, scope: dict[Any, Any], prefix: str) -> Any:
        if isinstance(expression, relax.SeqExpr):
            for block in expression.blocks:
                for binding in block.bindings:
                    if not isinstance(binding, relax.VarBinding):
                        raise NotImplementedError(f"reference has no {type(binding).__name__}")
                    with _located(prefix + binding.var.name):
                        value = self._expression(binding.value, scope, prefix)
                        self._bind(binding.var, value, scope, prefix)
            return self._expression(expression.body, scope, prefix)
        if isinstance(expression, relax.Var):
            return scope[expression]
        if isinstance(expression, tvm.ir.GenericConst):
            return expression.value.numpy()
        if isinstance(expression, relax.Tuple):
            return tuple(self._expression(item, scope, prefix) for item in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return self._expression(expression.tuple_value, scope, prefix)[expression.index]
        if isinstance(expression, relax.ShapeExpr):
            return tuple(int(extent) for extent in expression.values)
        if isinstance(expression, tvm.tirx.IntImm | tvm.tirx.FloatImm):
            return expression.value
        if isinstance(expression, relax.Function):
            return expression
        if isinstance(expression, relax.Call):
            return self._call_expression(expression, scope, prefix)
        raise NotImplementedError(f"reference has no {type(expression).__name__}")

    def _call_expression(self, call: Any, scope: dict[Any, Any], prefix: str) -> Any:
        arguments = [self._expression(argument, scope, prefix) for argument in call.args]
        if isinstance(call.op, tvm.ir.GlobalVar):
            function = self.module[call.op]
            name = call.op.name_hint
            if not isinstance(function, relax.Function):
                raise NotImplementedError(f"reference has no calls of {type(function).__name__}")
            return self.call(function, arguments, f"{prefix}{name}.")
        if isinstance(call.op, relax.Var):
            return self.call(scope[call.op], arguments, f"{prefix}{call.op.name}.")
        operator = OPERATORS.get(call.op.name)
        if operator is None:
            raise NotImplementedError(f"reference has no operator {call.op.name}")
        return operator(arguments, call.attrs)


@contextmanager
def _located(name: str) -> Iterator[None]:
    """Put the name of the innermost variable before an error's message."""
    try:
        yield
    except (NotImplementedError, ValueError) as error:
        if getattr(error, "located", False):
            raise
        wrapped = type(error)(f"{name}: {error}")
        wrapped.located = True  # type: ignore[union-attr]
        raise wrapped from error


def _check_declared(name: str, declared: Any, value: Any) -> None:
    if isinstance(declared, relax.TupleType):
        for number, field in enumerate(declared.fields):
            _check_declared(f"{name}[{number}]", field, value[number])
        return
    if not isinstance(declared, relax.TensorType) or declared.shape is None:
        return
    shape = tuple(int(extent) for extent in declared.shape)
    if value.shape != shape or str(value.dtype) != str(declared.dtype):
        raise ValueError(f"{value.dtype}{value.shape} where {declared.dtype}{shape} is declared")
