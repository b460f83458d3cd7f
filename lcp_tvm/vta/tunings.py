"""Tilings of VTA layers in a database of tunings (`lcp_tvm/tunings.py`).

Lines whose shape or tiling has other fields than this version knows are kept and never used.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lcp_tvm.facts import FactsError, facts_of, from_facts
from lcp_tvm.tunings import Line, Tunings, store_line
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.search import INSTRUCTION_PRICE
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.timing import Timing

SCHEDULE = 2
"""Raised when a tiling comes to mean another stream."""

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

    def line(self, config: VtaConfig) -> Line:
        """The tuning as a line of the database."""
        build = _build(config)
        return {
            "for": {"schedule": SCHEDULE, "config": build, "shape": facts_of(self.shape)},
            "tiling": facts_of(self.tiling),
            "cycles": self.cycles,
            "instructions": self.instructions,
        }


def vta_tunings(tunings: Tunings, config: VtaConfig) -> dict[ConvShape, Tuning]:
    """Return what a database has for a config's build.

    Raises
    ------
    InputError
        A line is no tuning.
    """
    build = _build(config)
    found: dict[ConvShape, Tuning] = {}
    for line in tunings.lines():
        key = line["for"]
        if key.get("schedule") == SCHEDULE and key.get("config") == build:
            tuning = _read(line)
            if tuning is not None:
                found[tuning.shape] = tuning
    return found


def store_tuning(path: Path, tuning: Tuning, config: VtaConfig) -> None:
    """Put a tuning into a database where it is better than what is there.

    Raises
    ------
    InputError
        The database is corrupt, or cannot be written.
    """

    def is_better(known: Line) -> bool:
        other = _read(known)
        return other is None or tuning.price < other.price

    store_line(path, tuning.line(config), is_better)


def _read(line: Line) -> Tuning | None:
    """Return a line's tuning, or None if it is of a version with other fields."""
    try:
        shape = from_facts(ConvShape, line["for"].get("shape"))
        tiling = from_facts(Tiling, line["tiling"])
    except FactsError:
        return None
    return Tuning(shape, tiling, line["cycles"], line["instructions"])


def _build(config: VtaConfig) -> dict[str, Any]:
    """What a schedule depends on: geometry and rates."""
    values = {name: value for name, value in asdict(config).items() if name not in _BOARD}
    return values | {"timing": asdict(Timing.of(config))}
