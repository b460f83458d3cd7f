"""The agent for a board: one executable that old systems run, the same bytes every time."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from lcp_tvm.board import build
from lcp_tvm.board.boards import BOARDS, Machine
from lcp_tvm.board.build import build_agent
from lcp_tvm.board.sources import find_sources
from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.target import GLIBC, parse_target
from tests.board.agents import TARGETS, built_agent, emulator, moved, quiet
from tests.cpu.test_build import conv_module

OF_THE_C_LIBRARY = r"lib(c|m|dl|pthread)\.so\.\d|ld-linux-.*\.so\.\d"
MACHINES = [pytest.param(machine, marks=pytest.mark.xdist_group(machine)) for machine in TARGETS]
MOST_BYTES = 4e6

pytestmark = pytest.mark.slow


@pytest.fixture
def elf(machine: Machine) -> Iterator[ELFFile]:
    with built_agent(machine).open("rb") as stream:
        yield ELFFile(stream)


def symbols(elf: ELFFile, *, defined: bool) -> set[str]:
    """Names of the dynamic symbols that a file has, or that it wants of others."""
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    found = (s for s in table.iter_symbols() if s["st_info"]["bind"] != "STB_LOCAL")
    return {s.name for s in found if (s["st_shndx"] != "SHN_UNDEF") == defined}


@pytest.mark.parametrize("machine", MACHINES)
def test_it_is_for_its_machine_and_small(machine: Machine, elf: ELFFile) -> None:
    assert elf.header["e_machine"] == {"armv7l": "EM_ARM", "aarch64": "EM_AARCH64"}[machine]
    assert elf.header["e_type"] == "ET_DYN"  # position independent: its addresses are random
    assert built_agent(machine).stat().st_size < MOST_BYTES


@pytest.mark.parametrize("machine", MACHINES)
def test_it_needs_only_the_c_library(elf: ELFFile) -> None:
    dynamic = elf.get_section_by_name(".dynamic")
    assert isinstance(dynamic, DynamicSection)
    needed = [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]
    assert [name for name in needed if not re.fullmatch(OF_THE_C_LIBRARY, name)] == []


@pytest.mark.parametrize("machine", MACHINES)
def test_an_old_c_library_is_enough(elf: ELFFile) -> None:
    needs = elf.get_section_by_name(".gnu.version_r")
    assert isinstance(needs, GNUVerNeedSection)
    versions = {each.name for _, needed in needs.iter_versions() for each in needed}
    numbers = [tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in versions]
    assert max(numbers) <= tuple(map(int, GLIBC.split(".")))


@pytest.mark.parametrize("machine", MACHINES)
def test_it_has_what_modules_call(machine: Machine, elf: ELFFile, tmp_path: Path) -> None:
    """Besides the functions of the C library, which modules ask for themselves."""
    exported = symbols(elf, defined=True)
    assert {"TVMFFIErrorSetRaisedFromCStrParts", "TVMBackendParallelLaunch"} <= exported
    module = tmp_path / "net.so"
    build_module(conv_module(np.random.default_rng(0)), parse_target(TARGETS[machine]), module)
    with module.open("rb") as stream:
        wanted = symbols(ELFFile(stream), defined=False)
    assert {name for name in wanted if name.startswith("TVM")} <= exported


@pytest.mark.parametrize("machine", MACHINES)
def test_it_carries_no_path_of_the_pc(machine: Machine) -> None:
    data = built_agent(machine).read_bytes()
    folders = {str(Path.home()), os.getcwd(), *map(str, find_sources().roots.values())}
    assert [folder for folder in folders - {"/"} if folder.encode() in data] == []


@pytest.mark.parametrize("machine", MACHINES)
def test_it_runs_and_says_how_it_is_used(machine: Machine) -> None:
    done = subprocess.run(
        [*emulator(machine), str(built_agent(machine)), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("Usage: lcp-agent")


@pytest.mark.parametrize("machine", MACHINES)
def test_it_takes_no_other_libraries(machine: Machine) -> None:
    done = subprocess.run(
        [*emulator(machine), str(built_agent(machine)), "--libraries", "/usr/lib"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "has its libraries in it" in done.stderr


@pytest.mark.xdist_group("armv7l")
def test_compiled_again_elsewhere_files_have_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of them, from another folder, and nothing from a cache but ziglang's own libraries."""
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "zig"))
    here = find_sources()
    there = moved(here, tmp_path / "a longer name" / "native")
    target = parse_target(TARGETS["armv7l"])
    made = []
    for sources in (here, there):
        sample = replace(sources, files=sources.files[::12])
        folder = tmp_path / str(len(made))
        folder.mkdir()
        objects = build.compile_all(sample, target, folder, quiet)
        made.append([(path.name, path.read_bytes()) for path in objects])
    assert {name.split(".")[0] for name, _ in made[0]} == set(here.roots)
    assert made[0] == made[1]


def test_who_comes_while_an_agent_is_built_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands at once compile it once."""
    built: list[Path] = []

    def slow(*arguments: object) -> None:
        kept = arguments[-1]
        assert isinstance(kept, Path)
        built.append(kept)
        time.sleep(0.3)
        kept.write_bytes(b"an agent")

    monkeypatch.setattr(build, "_build", slow)
    with ThreadPoolExecutor(2) as pool:
        agents = list(pool.map(lambda _: build_agent("armv7l", quiet, tmp_path), range(2)))
    assert len(built) == 1
    assert agents[0] == agents[1] == built[0]


def test_every_board_has_an_agent() -> None:
    assert {board.machine for board in BOARDS.values()} == set(TARGETS)
