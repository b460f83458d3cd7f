"""Tell which operator a ``call_tir`` computes.

TVM's ONNX importer turns some operators into loops. A loop nest is recognised by building the
one expected and comparing the two: a name alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax
from tvm_ffi import structural_equal, structural_walk

from lcp_tvm.relay_passes.rewrite import Graph, is_call


def prim_func_of(graph: Graph, value: Any, stem: str) -> Any:
    """Return the loop nest that ``value`` calls, if its name starts with ``stem``, or None."""
    if not is_call(value, "relax.call_tir") or not value.args[0].name_hint.startswith(stem):
        return None
    return graph.module[value.args[0]]


def computes(function: Any, compute: Callable[..., Any], *args: Any) -> bool:
    """Whether ``function`` is what TVM makes of the tensor expression ``compute(*args)``."""
    builder = relax.BlockBuilder()
    builder.call_te(compute, *args)
    expected = next(iter(builder.get().functions.values()))
    return bool(
        structural_equal(
            function.without_attr("global_symbol"), expected.without_attr("global_symbol")
        )
    )


def nodes_of(function: Any, kind: type) -> list[Any]:
    """Return every node of one kind in the body of a loop nest."""
    found: list[Any] = []
    structural_walk(function.body, (kind, lambda node: found.append(node)))
    return found
