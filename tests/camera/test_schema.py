"""The schema of a dataclass is that of the JSON that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from lcp_tvm.camera.schema import reference_to, schemas_of


@dataclass(frozen=True)
class Part:
    """A part,
    of a whole.
    """

    share: float


@dataclass(frozen=True)
class Whole:
    """All of it."""

    name: str | None
    state: Literal["new", "old"]
    parts: tuple[Part, ...]
    corner: tuple[int, bool]


def test_every_field_is_described_and_required() -> None:
    assert schemas_of([Whole]) == {
        "Part": {
            "type": "object",
            "description": "A part, of a whole.",
            "properties": {"share": {"type": "number"}},
            "required": ["share"],
            "additionalProperties": False,
        },
        "Whole": {
            "type": "object",
            "description": "All of it.",
            "properties": {
                "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "state": {"enum": ["new", "old"]},
                "parts": {"type": "array", "items": reference_to(Part)},
                "corner": {
                    "type": "array",
                    "prefixItems": [{"type": "integer"}, {"type": "boolean"}],
                    "minItems": 2,
                    "items": False,
                },
            },
            "required": ["name", "state", "parts", "corner"],
            "additionalProperties": False,
        },
    }


def test_what_json_has_no_type_for_is_refused() -> None:
    @dataclass(frozen=True)
    class Raw:
        data: bytes

    with pytest.raises(KeyError):
        schemas_of([Raw])
