"""A database of tilings: what `lcp-tvm tune` found, a line of JSON for every layer.

    {"for": {"schedule": 1, "config": {...}, "shape": {...}}, "tiling": {...},
     "cycles": 563121, "instructions": 82}

Lines for another version of the schedule, or whose shape has other fields than this version knows,
are kept and never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.errors import InputError
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.facts import FactsError, facts_of, from_facts
from lcp_tvm.vta.search import INSTRUCTION_PRICE
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.timing import Timing

SCHEDULE = 2
"""Raised when a tiling comes to mean another stream."""

MAX_BYTES = 1 << 26

_BOARD = frozenset(("name", "target", "hw_ver"))
"""Fields of a config that a schedule does not depend on: two boards of one build share tilings."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A tiling of a shape on a config's build, and what it costs alone on the simulator."""

    shape: ConvShape
    tiling: Tiling
    cycles: int
    instructions: int

    @property
    def price(self) -> int:
        """What a search makes small."""
        return self.cycles + INSTRUCTION_PRICE * self.instructions

    def line(self, config: VtaConfig) -> str:
        """The tuning as a line of the database."""
        values = {
            "for": _key(self.shape, config),
            "tiling": facts_of(self.tiling),
            "cycles": self.cycles,
            "instructions": self.instructions,
        }
        return _dump(values)


def _key(shape: ConvShape, config: VtaConfig) -> dict[str, Any]:
    return {"schedule": SCHEDULE, "config": _build(config), "shape": facts_of(shape)}


def _build(config: VtaConfig) -> dict[str, Any]:
    """What a schedule depends on: geometry and rates."""
    values = {name: value for name, value in asdict(config).items() if name not in _BOARD}
    return values | {"timing": asdict(Timing.of(config))}


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Tunings:
    """A database's content.

    Attributes
    ----------
    text : as it is in the file.
    """

    text: str = ""
    where: str = "tunings"

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def of(self, config: VtaConfig) -> dict[ConvShape, Tuning]:
        """Return the tunings for a config's build.

        Raises
        ------
        InputError
            A line is no tuning.
        """
        build = _build(config)
        found: dict[ConvShape, Tuning] = {}
        for values in self._lines():
            key = values["for"]
            if key.get("schedule") != SCHEDULE or key.get("config") != build:
                continue
            try:
                shape = from_facts(ConvShape, key.get("shape"))
                tiling = from_facts(Tiling, values["tiling"])
            except FactsError:
                continue  # of a version with other fields
            found[shape] = Tuning(shape, tiling, values["cycles"], values["instructions"])
        return found

    def with_line(self, line: str) -> Tunings:
        """Return the database with a line in place of the one for the same layer."""
        key = _dump(json.loads(line)["for"])
        lines = {_dump(values["for"]): _dump(values) for values in self._lines()}
        lines[key] = line
        return Tunings("".join(f"{lines[key]}\n" for key in sorted(lines)), self.where)

    def _lines(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self.text.splitlines(), 1):
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _corrupt(self.where, number) from error
            if (
                not isinstance(values, dict)
                or set(values) != {"for", "tiling", "cycles", "instructions"}
                or not isinstance(values["for"], dict)
                or any(type(values[name]) is not int for name in ("cycles", "instructions"))
            ):
                raise _corrupt(self.where, number)
            yield values


NO_TUNINGS = Tunings()


def read_tunings(path: Path) -> Tunings:
    """Read a database.

    Raises
    ------
    InputError
        It is missing, too large, or no database.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); "
            "make it with 'lcp-tvm tune NET.lcp --database FILE'"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no database of tilings, it is not text") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: has more than {MAX_BYTES} bytes; it is no database of tilings")
    tunings = Tunings(text, str(path))
    for _ in tunings._lines():
        pass
    return tunings


def store_tuning(path: Path, tuning: Tuning, config: VtaConfig) -> None:
    """Put a tuning into a database, which need not exist; other processes may do the same.

    Raises
    ------
    InputError
        The database is corrupt, or cannot be written.
    """
    with _locked(path):
        tunings = read_tunings(path) if path.exists() else Tunings(where=str(path))
        known = tunings.of(config).get(tuning.shape)
        if known is None or tuning.price < known.price:
            with atomic_file(path) as stream:
                stream.write(tunings.with_line(tuning.line(config)).text.encode())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the database's lock, a file beside it, since the database itself is replaced."""
    try:
        stream = path.with_name(f".{path.name}.lock").open("wb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "give a file in a folder that exists and is writable"
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _corrupt(where: str, number: int) -> InputError:
    return InputError(f"{where}: line {number} is no tuning; delete the line, or the file")
