"""Preprocessing as people write it: a TOML file, or a table inside a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lcp_tvm.errors import InputError
from lcp_tvm.network import Preprocess

CHANNEL_COUNT = {"RGB": 3, "BGR": 3, "L": 1}
_CHOICES = {"channels": tuple(CHANNEL_COUNT), "resize": ("squash", "crop", "pad")}
_KEYS = tuple(field.name for field in fields(Preprocess))


def preprocess_from(values: Mapping[str, object], where: str) -> Preprocess:
    """Check a table of preprocessing values.

    Parameters
    ----------
    values : keys are those of ``Preprocess``; ``size`` is required.
    where : what the table was read from, for messages.

    Raises
    ------
    InputError : a key that is unknown, missing or has a value of the wrong type or range.
    """
    for key in values:
        if key not in _KEYS:
            raise InputError(f"{where}: unknown key {key!r}; allowed are {', '.join(_KEYS)}")
    if "size" not in values:
        raise InputError(f"{where}: key 'size' is missing; give [height, width] in pixels")
    found: dict[str, Any] = {"size": _size(values["size"], where)}
    for key in ("mean", "std"):
        if key in values:
            found[key] = _per_channel(values[key], key, where)
    if "scale" in values:
        found["scale"] = _number(values["scale"], "scale", where)
    for key, choices in _CHOICES.items():
        if key in values:
            if values[key] not in choices:
                raise InputError(f"{where}: {key} is {values[key]!r}, not {_either(choices)}")
            found[key] = values[key]
    preprocess = Preprocess(**found)
    if 0.0 in preprocess.std:
        raise InputError(f"{where}: std must not be 0; it divides")
    count = CHANNEL_COUNT[preprocess.channels]
    for key, entries in (("mean", preprocess.mean), ("std", preprocess.std)):
        if len(entries) not in (1, count):
            raise InputError(
                f"{where}: {key} has {len(entries)} entries; channels = "
                f"{preprocess.channels!r} needs {' or '.join(map(str, sorted({1, count})))}"
            )
    return preprocess


def preprocess_to(preprocess: Preprocess) -> dict[str, object]:
    """Return the table that ``preprocess_from`` reads back; JSON can hold it."""
    table = {key: getattr(preprocess, key) for key in _KEYS}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def preprocess_from_json(text: str, where: str) -> Preprocess:
    """Check preprocessing written as a JSON object; InputError as ``preprocess_from``."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{where}: found {type(values).__name__}, expected a JSON object")
    return preprocess_from(values, where)


def labels_from_json(text: str, where: str) -> tuple[str, ...]:
    """Read class labels written as a JSON list of strings."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{where}: expected a JSON list of strings")
    return tuple(values)


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join(repr(choice) for choice in choices)


def _number(value: object, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise InputError(f"{where}: {key} is {value!r:.60}, not a number")
    return float(value)


def _is_finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max  # of any int, however large


def _per_channel(value: object, key: str, where: str) -> tuple[float, ...]:
    entries = value if isinstance(value, list | tuple) else [value]
    return tuple(_number(entry, key, where) for entry in entries)


def _size(value: object, where: str) -> tuple[int, int]:
    sides = [side for side in value if type(side) is int] if isinstance(value, list | tuple) else []
    if value not in (sides, tuple(sides)) or len(sides) != 2 or min(sides) < 1:
        raise InputError(f"{where}: size is {value!r}, not [height, width] in pixels")
    return sides[0], sides[1]
