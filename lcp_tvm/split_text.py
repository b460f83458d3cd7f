"""What ``--split`` may say, as data; which pass makes it is in `lcp_tvm.splitting`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from lcp_tvm.errors import InputError

MAX_PARTS = 256
"""Devices, branches, stages or replicas."""

MAX_GRID = 32
"""Rows or columns of tiles."""

MAX_DEPTH = 10_000
MAX_FATTEN = 1000.0

Mode = Literal["output", "input", "spatial"]
Objective = Literal["latency", "throughput", "memory"]

FORMS = (
    "none",
    "lcp:N[+F%]",
    "ftp:RxC[@L][:reuse]",
    "layers:N[:output|input|spatial]",
    "strips:N[@L]",
    "pipeline:N",
    "replicate:N",
    "auto",
)


@dataclass(frozen=True, slots=True)
class Whole:
    """``none``, or ``replicate:N``: the whole network on each of so many devices."""

    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Lcp:
    """``lcp:N+F%``: narrow branches, each fattened by so many percent."""

    branches: int
    fatten: float = 0.0


@dataclass(frozen=True, slots=True)
class Ftp:
    """``ftp:RxC@L:reuse``: fused tiles of the first L layers."""

    rows: int
    columns: int
    depth: int | None = None
    reuse: bool = False


@dataclass(frozen=True, slots=True)
class Layers:
    """``layers:N:MODE``: every layer over all devices."""

    devices: int
    mode: Mode = "output"


@dataclass(frozen=True, slots=True)
class Strips:
    """``strips:N@L``: every one of the first L layers as strips of rows."""

    devices: int
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``pipeline:N``: consecutive layers on consecutive devices."""

    devices: int


@dataclass(frozen=True, slots=True)
class Auto:
    """``auto``: the best for a cluster (a TOML file), as the predictor sees it.

    The text has neither; they are options of their own.
    """

    cluster: Path | None = None
    minimise: Objective = "latency"


SplitSpec = Whole | Lcp | Ftp | Layers | Strips | Pipeline | Auto


def parse_split(text: str) -> SplitSpec:
    """Read the text after ``--split``.

    Raises
    ------
    InputError
        It is none of the forms, or a number is out of bounds.
    """
    text = text.strip()
    kind = text.partition(":")[0]
    pattern, read = _KINDS.get(kind, _UNKNOWN)
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        raise _no_split(text, kind)
    return read(_Numbers(text, match.groupdict()))


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The parts of a text that matched its form."""

    text: str
    parts: Mapping[str, str | None]

    def count(self, name: str, most: int) -> int:
        """Return a part as a number from 1 to ``most``."""
        found = self.optional(name, most)
        assert found is not None
        return found

    def optional(self, name: str, most: int) -> int | None:
        part = self.parts[name]
        if part is None:
            return None
        if len(part) > len(str(most)) or not 1 <= int(part) <= most:
            raise InputError(f"--split {self.text[:60]}: {part[:20]} is not from 1 to {most}")
        return int(part)

    def percent(self, name: str) -> float:
        part = self.parts[name]
        value = 0.0 if part is None else float(part)
        if value > MAX_FATTEN:
            raise InputError(f"--split {self.text[:60]}: at most {MAX_FATTEN:g} % can be added")
        return value


_KINDS: Mapping[str, tuple[str, Callable[[_Numbers], SplitSpec]]] = {
    "none": (r"none", lambda _: Whole()),
    "lcp": (
        r"lcp:(?P<n>\d+)(\+(?P<percent>\d{1,9}(\.\d{1,9})?)%)?",
        lambda read: Lcp(read.count("n", MAX_PARTS), read.percent("percent")),
    ),
    "ftp": (
        r"ftp:(?P<rows>\d+)x(?P<columns>\d+)(@(?P<depth>\d+))?(?P<reuse>:reuse)?",
        lambda read: Ftp(
            read.count("rows", MAX_GRID),
            read.count("columns", MAX_GRID),
            read.optional("depth", MAX_DEPTH),
            read.parts["reuse"] is not None,
        ),
    ),
    "layers": (
        rf"layers:(?P<n>\d+)(:(?P<mode>{'|'.join(get_args(Mode))}))?",
        lambda read: Layers(read.count("n", MAX_PARTS), cast(Mode, read.parts["mode"] or "output")),
    ),
    "strips": (
        r"strips:(?P<n>\d+)(@(?P<depth>\d+))?",
        lambda read: Strips(read.count("n", MAX_PARTS), read.optional("depth", MAX_DEPTH)),
    ),
    "pipeline": (r"pipeline:(?P<n>\d+)", lambda read: Pipeline(read.count("n", MAX_PARTS))),
    "auto": (r"auto", lambda _: Auto()),
    "replicate": (r"replicate:(?P<n>\d+)", lambda read: Whole(read.count("n", MAX_PARTS))),
}


_UNKNOWN: tuple[str, Callable[[_Numbers], SplitSpec]] = (r"(?!)", lambda _: Whole())
"""Matches nothing."""


def _no_split(text: str, kind: str) -> InputError:
    near = difflib.get_close_matches(kind, _KINDS, n=1)
    form = next((form for form in FORMS if near and form.partition(":")[0] == near[0]), None)
    hint = f"; did you mean {form}?" if form else ";"
    return InputError(f"--split {text[:60]!r}: no such split{hint} Forms: {', '.join(FORMS)}")
