"""Databases of tunings: what `lcp-tvm tune` found, a line of JSON for every layer.

    {"for": {"schedule": 2, "config": {...}, "shape": {...}}, "tiling": {...},
     "cycles": 563121, "instructions": 82}                                        on a VTA
    {"for": {"template": 1, "cpu": "x86-64-v4", "processor": "...", "layer": {...}},
     "choice": {...}, "ns": 183000, "model_ns": 201000}                           on a CPU

``for`` is the key, and the version in it says what else a line has. Lines of other versions are
kept and never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.errors import InputError

MAX_BYTES = 1 << 26

_FORMS: Mapping[str, Mapping[str, type]] = MappingProxyType(
    {
        "schedule": {"for": dict, "tiling": dict, "cycles": int, "instructions": int},
        "template": {"for": dict, "choice": dict, "ns": int, "model_ns": int},
    }
)
"""Fields of a line, by the name of the version in its key."""

Line = Mapping[str, Any]


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

    def lines(self) -> Iterator[Line]:
        """Return the lines.

        Raises
        ------
        InputError
            A line is no tuning.
        """
        for number, line in enumerate(self.text.splitlines(), 1):
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _corrupt(self.where, number) from error
            if not _is_tuning(values):
                raise _corrupt(self.where, number)
            yield values

    def get(self, key: Mapping[str, Any]) -> Line | None:
        """Return the line of a key."""
        return next((line for line in self.lines() if line["for"] == key), None)

    def with_line(self, line: Line) -> Tunings:
        """Return the database with a line in place of the one for the same layer."""
        lines = {_dump(values["for"]): _dump(values) for values in (*self.lines(), line)}
        return Tunings("".join(f"{lines[key]}\n" for key in sorted(lines)), self.where)


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
        missing = isinstance(error, FileNotFoundError)
        advice = "; 'lcp-tvm tune' makes such files" if missing else ""
        raise InputError(f"{path}: cannot be read ({error.strerror or error}){advice}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no database of tilings, it is not text") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: has more than {MAX_BYTES} bytes; it is no database of tilings")
    tunings = Tunings(text, str(path))
    for _ in tunings.lines():
        pass
    return tunings


def store_line(path: Path, line: Line, replaces: Callable[[Line], bool]) -> None:
    """Put a line into a database, which need not exist; other processes may do the same.

    Parameters
    ----------
    replaces : whether it does so with the line that is there for the same layer.

    Raises
    ------
    InputError
        The database is corrupt, or cannot be written.
    """
    with _locked(path):
        tunings = read_tunings(path) if path.exists() else Tunings(where=str(path))
        known = tunings.get(line["for"])
        if known is None or replaces(known):
            with atomic_file(path) as stream:
                stream.write(tunings.with_line(line).text.encode())


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


def _is_tuning(values: Any) -> bool:
    if not isinstance(values, dict) or not isinstance(values.get("for"), dict):
        return False
    forms = [form for version, form in _FORMS.items() if version in values["for"]]
    return any(
        values.keys() == form.keys()
        and all(type(values[name]) is kind for name, kind in form.items())
        for form in forms
    )


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _corrupt(where: str, number: int) -> InputError:
    return InputError(f"{where}: line {number} is no tuning; delete the line, or the file")
