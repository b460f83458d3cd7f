"""Agents for boards, and emulators that run them here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lcp_tvm.board.boards import Machine
from lcp_tvm.board.build import build_agent
from lcp_tvm.board.sources import Sources
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.session import run_worker
from lcp_tvm.vta.config import load_config
from tests.cpu.emulated import EMULATED

TARGETS: dict[Machine, str] = {"armv7l": "arm:pynq", "aarch64": "arm:rpi3"}
"""A target whose modules run on the machine."""

START_TIMEOUT_S = 120.0

GUEST = 1 << 40
"""Where an emulator puts the memory of what it runs, whose addresses have 32 bits."""


def quiet(what: str, fraction: float) -> None:
    """Show no progress."""


def built_agent(machine: Machine) -> Path:
    """Return the agent; the first time, and after a change of its sources, this takes minutes."""
    return build_agent(machine, quiet)


def moved(sources: Sources, folder: Path) -> Sources:
    """Copy our sources to a folder; the same sources, lying there."""
    ours = sources.roots["lcp_tvm"]
    shutil.copytree(ours, folder, ignore=shutil.ignore_patterns("build"))

    def there(path: Path) -> Path:
        return folder / path.relative_to(ours) if path.is_relative_to(ours) else path

    return Sources(
        roots={**sources.roots, "lcp_tvm": folder},
        files=tuple(map(there, sources.files)),
        includes=tuple(map(there, sources.includes)),
        read=tuple(map(there, sources.read)),
    )


def emulator(machine: Machine) -> list[str]:
    """Return the beginning of a command that runs the machine's programs."""
    program, library = EMULATED[TARGETS[machine]]
    if shutil.which(program) is None or not library.is_dir():
        pytest.skip(f"needs {program} and {library}")
    return [program, "-B", hex(GUEST), "-L", str(library)]


def guest_bytes(emulator: int) -> int:
    """Resident memory of the 32-bit program that a process emulates, its files' pages included."""
    total, inside = 0, False
    for line in Path(f"/proc/{emulator}/smaps").read_text().splitlines():
        word, value, *_ = line.split()
        if word == "Rss:":
            total += inside * int(value) * 1024
        elif not word.endswith(":"):
            inside = 0 <= int(word.split("-")[0], 16) - GUEST < 1 << 32
    return total


@contextmanager
def emulated_agent(machine: Machine, vta: str | None = None, *options: str) -> Iterator[Address]:
    """An agent on an emulated board.

    Parameters
    ----------
    vta : name of the board's config; None for a board without an accelerator.
    """
    command = [*emulator(machine), str(built_agent(machine)), "--attached", *options]
    if vta is not None:
        command += ["--vta", load_config(vta).to_json()]
    with run_worker(command, START_TIMEOUT_S) as address:
        yield address
