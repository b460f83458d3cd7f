"""An agent is known by what it is made of, not by where that lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcp_tvm.board.sources import Sources, find_sources
from tests.board.agents import moved


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Sources, Sources]:
    """Return the sources, and the same with ours in another place."""
    sources = find_sources()
    return sources, moved(sources, tmp_path / "elsewhere")


def test_every_part_is_there_once() -> None:
    sources = find_sources()
    names = [sources.name(path) for path in sources.files]
    assert len(set(names)) == len(names)
    assert "tvm/src/runtime/vm/vm.cc" in names
    assert "tvm_ffi/src/ffi/function.cc" in names
    assert "lcp_tvm/board/libraries.cc" in names
    assert "lcp_tvm/agent/libraries.cc" not in names


def test_the_same_sources_elsewhere_have_the_same_digest(
    copied: tuple[Sources, Sources],
) -> None:
    here, there = copied
    assert here.digest() == there.digest()


@pytest.mark.parametrize("name", ["include/lcp_tvm/isa.h", "board/tvm/support/arena.h"])
def test_a_header_that_changes_changes_the_digest(
    name: str, copied: tuple[Sources, Sources]
) -> None:
    here, there = copied
    with (there.roots["lcp_tvm"] / name).open("a") as file:
        file.write("\n")
    assert here.digest() != there.digest()
