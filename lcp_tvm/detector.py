"""What a detector's output means, as a model's metadata and a package say it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeGuard

from lcp_tvm.errors import InputError

BOX_VALUES = 5
"""x, y, width, height and score."""

MAX_ANCHORS = 64
MAX_SIDE = 1e4


@dataclass(frozen=True, slots=True)
class Detector:
    """How boxes are read from an output in the manner of YOLOv2.

    The output is [1, A * (5 + K), H, W]: in each cell of a grid A boxes of x, y, width, height,
    score and scores of K classes. A detector of one class has no scores of classes, K = 0.

    Attributes
    ----------
    anchors : A times width and height in cells, which what the network says multiplies.
    score : boxes of a lower one are dropped, 0 to 1.
    overlap : of two boxes of a class that share more, the better stays; intersection over union.
    """

    anchors: tuple[tuple[float, float], ...]
    score: float = 0.5
    overlap: float = 0.4


_KEYS = tuple(field.name for field in fields(Detector))


def detector_from(values: object, where: str) -> Detector:
    """Check a table of a detector's values.

    Parameters
    ----------
    values : keys are those of ``Detector``; ``anchors`` is required.
    where : what the table was read from, for messages.

    Raises
    ------
    InputError : a key that is unknown, missing or has a value of the wrong type or range.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: found {type(values).__name__}, expected a JSON object")
    for key in values:
        if key not in _KEYS:
            raise InputError(f"{where}: unknown key {key!r:.60}; allowed are {', '.join(_KEYS)}")
    anchors = values.get("anchors")
    if not isinstance(anchors, list | tuple) or not 1 <= len(anchors) <= MAX_ANCHORS:
        raise InputError(f"{where}: anchors must be a list of 1 to {MAX_ANCHORS} [width, height]")
    shares = {key: _share(values[key], key, where) for key in _KEYS[1:] if key in values}
    return Detector(tuple(_anchor(anchor, where) for anchor in anchors), **shares)


def detector_from_json(text: str, where: str) -> Detector:
    """Check a detector written as a JSON object; InputError as ``detector_from``."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    return detector_from(values, where)


def class_count(detector: Detector, shapes: Sequence[tuple[int, ...]], where: str) -> int:
    """Return K, the classes that a network with outputs of these shapes has scores of.

    Raises
    ------
    InputError : it has no output that the detector's boxes can be read from.
    """
    per_anchor, rest = 0, 0
    if len(shapes) == 1 and len(shapes[0]) == 4:
        per_anchor, rest = divmod(shapes[0][1], len(detector.anchors))
    if per_anchor < BOX_VALUES or rest:
        found = ", ".join(str(list(shape)) for shape in shapes)
        count = len(detector.anchors)
        raise InputError(
            f"{where}: outputs are {found}; a detector with {count} anchors reads one of "
            f"[1, {count} * ({BOX_VALUES} + classes), rows, columns]; change its anchors"
        )
    return per_anchor - BOX_VALUES


def _anchor(value: object, where: str) -> tuple[float, float]:
    sides = value if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(_is_number(side) and 0 < side <= MAX_SIDE for side in sides):
        raise InputError(
            f"{where}: anchor {value!r:.60} must be [width, height] in cells, "
            f"above 0 and at most {MAX_SIDE:.0f}"
        )
    return float(sides[0]), float(sides[1])


def _share(value: object, key: str, where: str) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{where}: {key} is {value!r:.60}, not a number from 0 to 1")
    return float(value)


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)
