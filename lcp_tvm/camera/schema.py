"""Dataclasses as JSON Schema: the shape of what `lcp_tvm.facts.facts_of` makes of them."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = dict[str, Any]

_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}
WHERE = "#/components/schemas/"


def reference_to(kind: type) -> Schema:
    """Return a reference to a dataclass's schema among `schemas_of`."""
    return {"$ref": WHERE + kind.__name__}


def schemas_of(kinds: Iterable[type]) -> dict[str, Schema]:
    """Return the schemas of dataclasses and of those in their fields, by name."""
    schemas: dict[str, Schema] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if kind.__name__ in schemas:
            continue
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        schemas[kind.__name__] = {
            "type": "object",
            "description": " ".join((kind.__doc__ or "").split()),
            "properties": {name: _schema(hints[name], waiting) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    return dict(sorted(schemas.items()))


def _schema(kind: Any, met: list[type]) -> Schema:
    """Return the schema of a field's type; dataclasses in it are added to ``met``."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(option, met) for option in options]}
    if origin is Literal:
        return {"enum": list(options)}
    if origin is tuple and options[-1] is Ellipsis:
        return {"type": "array", "items": _schema(options[0], met)}
    if origin is tuple:
        items = [_schema(option, met) for option in options]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if is_dataclass(kind) and isinstance(kind, type):
        met.append(kind)
        return reference_to(kind)
    return {"type": "null"} if kind is type(None) else {"type": _PLAIN[kind]}
