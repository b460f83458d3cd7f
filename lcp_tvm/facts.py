"""Dataclasses as JSON values and back: what a layer, a shape or a tiling is, for files.

Any field enters by itself. Of an array only shape, type and range are kept: all that scheduling
knows of weights.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import prod
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

MAX_SIZE = 1 << 31
"""Largest absolute value of a number in facts."""

MAX_ELEMENTS = 1 << 28
"""Elements of an array."""

MAX_ITEMS = 1024
"""Items of a list of any length."""

_TYPES = ("int8", "int32", "int64")
Kind = TypeVar("Kind")


class FactsError(ValueError):
    """Values that are no facts of the wanted kind."""


def facts_of(value: Any) -> Any:
    """Return a value's facts, of JSON's types only."""
    if is_dataclass(value):
        return {field.name: facts_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [facts_of(item) for item in value]
    if isinstance(value, np.ndarray):
        low, high = (int(value.min()), int(value.max())) if value.size else (0, 0)
        return {"shape": list(value.shape), "type": str(value.dtype), "range": [low, high]}
    return value


def from_facts(kind: type[Kind], values: Any) -> Kind:
    """Return the value of a dataclass that has these facts; arrays are zero but for their range.

    Raises
    ------
    FactsError
        The facts are of something else, or out of bounds.
    """
    if not isinstance(values, Mapping):
        raise FactsError(f"{str(values)[:40]!r} is no {kind.__name__}")
    kinds = _fields(kind)
    if set(values) != set(kinds):
        raise FactsError(f"a {kind.__name__} has {sorted(kinds)}, not {sorted(values)[:20]}")
    return kind(**{name: _read(hint, values[name]) for name, hint in kinds.items()})


def _fields(kind: Any) -> Mapping[str, Any]:
    """Types of a dataclass's fields, by their names."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(kind: Any, value: Any) -> Any:
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        (kind,) = (option for option in options if option is not type(None))
        return _read(kind, value)
    if origin is tuple and options[-1] is Ellipsis:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise FactsError(f"{str(value)[:40]!r} is no list of at most {MAX_ITEMS}")
        return tuple(_read(options[0], item) for item in value)
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(options):
            raise FactsError(f"{str(value)[:40]!r} are not {len(options)} values")
        return tuple(_read(option, item) for option, item in zip(options, value, strict=True))
    if kind is np.ndarray:
        return _read_array(value)
    if is_dataclass(kind):
        return from_facts(kind, value)  # type: ignore[arg-type]
    if issubclass(kind, Enum):
        if value not in [member.value for member in kind]:
            raise FactsError(f"{str(value)[:40]!r} is no {kind.__name__}")
        return kind(value)
    if type(value) is not kind or (kind is int and abs(value) > MAX_SIZE):
        raise FactsError(f"{str(value)[:40]!r} is no {kind.__name__}")
    return value


def _read_array(value: Any) -> np.ndarray:
    if not isinstance(value, Mapping) or set(value) != {"shape", "type", "range"}:
        raise FactsError(f"{str(value)[:40]!r} is no array")
    shape, (low, high) = value["shape"], _read(tuple[int, int], value["range"])
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise FactsError(f"{str(shape)[:40]!r} is no shape")
    if prod(shape) > MAX_ELEMENTS or value["type"] not in _TYPES:
        raise FactsError(f"an array of {shape} {str(value['type'])[:20]} is too large or unknown")
    if not np.iinfo(value["type"]).min <= low <= high <= np.iinfo(value["type"]).max:
        raise FactsError(f"no {value['type']} is from {low} to {high}")
    array = np.zeros(shape, value["type"])
    array.reshape(-1)[:1], array.reshape(-1)[-1:] = low, high
    return array
