"""A new body for ``main``, binding by binding."""

from __future__ import annotations

import tvm
from tvm import relax


class Body:
    """Bindings in order of computation; every variable has its own name."""

    def __init__(self, function: relax.Function) -> None:
        self._function = function
        self._bindings: list[relax.VarBinding] = []
        self._names = {param.name for param in function.params}
        # Only infers types: entering its scopes would print a warning if an error left them.
        self._builder = relax.BlockBuilder()

    def emit(self, expr: relax.Expr, name: str) -> relax.Var:
        """Bind ``expr`` to a new variable of that name, with a number if it is taken."""
        value = self._builder.normalize(expr)
        var = relax.DataflowVar(self._unique(name), value.ty)
        self._bindings.append(relax.VarBinding(var, value))
        return var

    def into(self, module: tvm.IRModule, result: relax.Expr) -> tvm.IRModule:
        """``module`` with a ``main`` of these bindings, as far as ``result`` needs them."""
        results = list(result.fields) if isinstance(result, relax.Tuple) else [result]
        outputs = [self._output(expr) for expr in results]
        value = relax.Tuple(outputs) if isinstance(result, relax.Tuple) else outputs[0]
        body = self._builder.normalize(relax.SeqExpr([relax.DataflowBlock(self._bindings)], value))
        function = relax.Function(
            list(self._function.params), body, body.ty, attrs=self._function.attrs
        )
        new = tvm.IRModule(dict(module.functions), attrs=module.attrs)
        new.update_func(new.get_global_var("main"), function)
        return relax.transform.DeadCodeElimination()(new)

    def _output(self, expr: relax.Expr) -> relax.Var:
        value = self._builder.normalize(expr)
        output = relax.Var(self._unique("result"), value.ty)
        self._bindings.append(relax.VarBinding(output, value))
        return output

    def _unique(self, name: str) -> str:
        unique, number = name, 1
        while unique in self._names:
            number += 1
            unique = f"{name}_{number}"
        self._names.add(unique)
        return unique
