"""Apply one rule to every binding of a straight-line module; the loop all clean-up passes share.

A rule sees bindings in order of computation, operands already rewritten, and returns the value
to bind instead, or None to leave the binding as it is. Variables keep their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import relax

from lcp_tvm.errors import ModelError

# Errors cross TVM's pass manager by name; one it does not know comes back as RuntimeError.
tvm_ffi.register_error("ModelError", ModelError)

Rule = Callable[["Graph", str, Any], Any]


class Graph:
    """The bindings made so far: what a rule may ask, and where it may emit new ones."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.module = module
        self.bindings: list[tuple[relax.Var, Any]] = []
        self.uses: Counter[Any] = Counter()
        self._values: dict[relax.Var, Any] = {}
        self._names = {param.name for param in module["main"].params}
        self._builder = relax.BlockBuilder()

    def value_of(self, operand: Any) -> Any:
        """Return what is bound to a variable (None for a parameter), or a constant itself."""
        return self._values.get(operand) if isinstance(operand, relax.Var) else operand

    def call_of(self, operand: Any, op: str) -> Any:
        """Return the call bound to ``operand`` if its operator is ``op``, or None."""
        value = self.value_of(operand)
        return value if is_call(value, op) else None

    def used_once(self, operand: Any) -> bool:
        """Whether nobody reads ``operand`` but the binding at hand."""
        return self.uses[operand] <= 1

    def emit(self, value: Any, name: str) -> relax.Var:
        """Bind ``value`` to a new variable called ``name``, or ``name_2``... if that is taken."""
        unique, number = name, 1
        while unique in self._names:
            number += 1
            unique = f"{name}_{number}"
        self._names.add(unique)
        value = self._builder.normalize(value)
        var = relax.DataflowVar(unique, value.ty)
        self.bindings.append((var, value))
        self._values[var] = value
        return var

    def emit_operand(self, value: Any, reader: str) -> relax.Var:
        """Bind a call that only the binding called ``reader`` reads: ``reader_conv2d``."""
        return self.emit(value, f"{reader}_{short_name(value)}")


def short_name(call: Any) -> str:
    """Return "conv2d" for a call of relax.nn.conv2d."""
    named = isinstance(call, relax.Call) and isinstance(call.op, tvm.ir.Op)
    return str(call.op.name).rsplit(".", 1)[-1] if named else "value"


def is_call(value: Any, op: str) -> bool:
    """Whether ``value`` is a call of the Relax operator ``op``, e.g. "relax.add"."""
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name == op


def is_constant(value: Any) -> bool:
    """Whether ``value`` holds its data."""
    return isinstance(value, tvm.ir.GenericConst)


def operands_of(value: Any) -> list[Any]:
    """Variables and constants that ``value`` reads, tuples opened, repeated if read twice."""
    if isinstance(value, relax.Call):
        return [leaf for arg in value.args for leaf in operands_of(arg)]
    if isinstance(value, relax.Tuple):
        return [leaf for field in value.fields for leaf in operands_of(field)]
    if isinstance(value, relax.TupleGetItem):
        return [value.tuple_value]
    return [value] if isinstance(value, relax.Var) or is_constant(value) else []


def straight_line(module: tvm.IRModule) -> tuple[Any, list[Any]]:
    """Return ``main`` and its bindings; a ModelError for control flow."""
    function = module["main"]
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    for binding in bindings:
        if isinstance(binding.value, relax.If):
            raise ModelError(
                f"{binding.var.name} is an If: networks with control flow cannot be compiled; "
                f"export the model with the branch that is taken at inference"
            )
    return function, bindings


def rewrite_bindings(module: tvm.IRModule, rule: Rule) -> tvm.IRModule:
    """Return ``module`` with ``rule`` applied to every binding of ``main`` and dead code gone."""
    function, bindings = straight_line(module)
    uses = Counter(operands_of(function.body.body))
    for binding in bindings:
        uses.update(operands_of(binding.value))

    graph = Graph(module)
    renamed: dict[Any, Any] = {param: param for param in function.params}
    graph.uses.update({param: uses[param] for param in function.params})
    for binding in bindings:
        value = _read(binding.value, renamed)
        new = rule(graph, binding.var.name, value)
        value = value if new is None else new
        if isinstance(value, relax.Var) or is_constant(value):
            renamed[binding.var] = value  # an alias: its readers now read the value itself
            graph.uses[value] += uses[binding.var] - 1
        else:
            renamed[binding.var] = graph.emit(value, binding.var.name)
            graph.uses[renamed[binding.var]] = uses[binding.var]
    return _rebuild(module, graph.bindings, renamed, function.body.body, {})


def rename_variables(
    module: tvm.IRModule, results: list[Any], names: Mapping[relax.Var, str]
) -> tvm.IRModule:
    """Return ``module`` with new names for variables and ``results`` as what ``main`` returns.

    Aliases and dead code go. A name that is taken gets a number.
    """
    function, bindings = straight_line(module)
    graph = Graph(module)
    renamed: dict[Any, Any] = {param: param for param in function.params}
    _copy(bindings, graph, renamed, names)
    body = results[0] if len(results) == 1 else relax.Tuple(results)
    return _rebuild(module, graph.bindings, renamed, body, names)


def _keep(graph: Graph, name: str, value: Any) -> Any:
    """Leave a binding as it is."""


def replace_input(
    module: tvm.IRModule, param: relax.Var, make: Callable[[Graph], Any], rule: Rule = _keep
) -> tvm.IRModule:
    """Return ``module`` with ``param`` for its one parameter; ``make`` emits the old one of it.

    Parameters
    ----------
    rule : for bindings that read it; types follow from the new parameter.
    """
    function, bindings = straight_line(module)
    (old,) = function.params
    graph = Graph(module)
    renamed: dict[Any, Any] = {old: make(graph)}
    _copy(bindings, graph, renamed, {}, rule)
    changed = relax.Function([param], function.body, function.ret_ty, attrs=function.attrs)
    rebuilt = module.clone()
    rebuilt.update_func(module.get_global_var("main"), changed)
    return _rebuild(rebuilt, graph.bindings, renamed, function.body.body, {})


def _copy(
    bindings: list[Any],
    graph: Graph,
    renamed: dict[Any, Any],
    names: Mapping[relax.Var, str],
    rule: Rule = _keep,
) -> None:
    """Emit bindings again, over the new variables; aliases go."""
    for binding in bindings:
        value = _read(binding.value, renamed)
        new = rule(graph, binding.var.name, value)
        value = value if new is None else new
        if isinstance(value, relax.Var) or is_constant(value):
            renamed[binding.var] = value
        else:
            renamed[binding.var] = graph.emit(value, names.get(binding.var, binding.var.name))


def _read(value: Any, renamed: dict[Any, Any]) -> Any:
    """Return ``value`` over the new variables."""
    if isinstance(value, relax.Var):
        return renamed.get(value, value)
    if isinstance(value, relax.Tuple):
        return relax.Tuple([_read(field, renamed) for field in value.fields])
    if isinstance(value, relax.TupleGetItem):
        return relax.TupleGetItem(_read(value.tuple_value, renamed), value.index)
    if isinstance(value, relax.Call):
        args = [_read(arg, renamed) for arg in value.args]
        return relax.Call(value.op, args, value.attrs, value.ty_args, value.span)
    return value


def _rebuild(
    module: tvm.IRModule,
    bindings: list[tuple[relax.Var, Any]],
    renamed: dict[Any, Any],
    results: Any,
    names: Mapping[relax.Var, str],
) -> tvm.IRModule:
    """Make ``bindings`` the body of ``main``; what it returns keeps the names of ``results``."""
    function = module["main"]
    taken = {var.name: var for var, _ in bindings} | {var.name: var for var in function.params}
    outputs: dict[Any, relax.Var] = {}
    copies = []
    for old in dict.fromkeys(operands_of(results)):
        new = renamed.get(old, old)
        if new in outputs:
            continue
        name = names.get(old, old.name) if isinstance(old, relax.Var) else "result"
        if isinstance(new, relax.DataflowVar):
            free = name not in taken or taken[name].same_as(new)
            outputs[new] = relax.Var(name if free else new.name, new.ty)
        else:  # the result is an input or a constant
            outputs[new] = relax.Var(name, new.ty)
            copies.append(relax.VarBinding(outputs[new], new))

    # Parameters are read as such even where one is a result too.
    local = {old: new for old, new in outputs.items() if isinstance(old, relax.DataflowVar)}
    needed, kept = set(outputs), []
    for var, value in reversed(bindings):
        if var in needed:
            needed.update(operands_of(value))
            kept.append(relax.VarBinding(outputs.get(var, var), _read(value, local)))
    block = relax.DataflowBlock([*reversed(kept), *copies])
    body = _read(results, {old: outputs[new] for old, new in renamed.items() if new in outputs})
    types = [field.ty for field in body.fields] if isinstance(body, relax.Tuple) else []
    rebuilt = module.clone()
    main = relax.Function(
        list(function.params),
        relax.SeqExpr([block], body),
        relax.TupleType(types) if types else body.ty,
        attrs=function.attrs,
    )
    rebuilt.update_func(module.get_global_var("main"), relax.BlockBuilder().normalize(main))
    return rebuilt
