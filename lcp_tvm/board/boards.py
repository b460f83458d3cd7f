"""The boards that kits are made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Machine = Literal["armv7l", "aarch64"]


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of board.

    Attributes
    ----------
    machine : as `platform.machine` names it there.
    vta : name of its accelerator's config; None where it has none.
    """

    name: str
    machine: Machine
    vta: str | None


BOARDS: Mapping[str, Board] = MappingProxyType(
    {
        board.name: board
        for board in (
            Board("pynq_z1", "armv7l", "pynq_z1"),
            Board("pynq_z2", "armv7l", "pynq_z2"),
            Board("ultra96", "aarch64", "ultra96"),
            Board("zcu104", "aarch64", "zcu104"),
            Board("rpi3", "aarch64", None),
            Board("rpi4", "aarch64", None),
            Board("rpi5", "aarch64", None),
        )
    }
)
