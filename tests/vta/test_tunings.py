"""The database of tilings: found by shape and build, kept whole whatever happens."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm import tunings as database
from lcp_tvm.errors import InputError
from lcp_tvm.tunings import read_tunings
from lcp_tvm.vta import tunings as vta_tilings
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.layer import Plane, Weights, Window
from lcp_tvm.vta.tiling import ConvShape, Group, Tiling
from lcp_tvm.vta.tunings import Tuning, store_tuning, vta_tunings

PYNQ = load_config("pynq_z1")
ULTRA96 = load_config("ultra96")
TILING = Tiling(4, 7, 28, 1, True, 2, 2, 1)


def a_shape(channels: int = 8) -> ConvShape:
    plane = Plane(channels, 28, 28)
    return ConvShape(
        source=plane,
        target=plane,
        window=Window((3, 3), padding=(1, 1, 1, 1)),
        pool=None,
        output=plane,
        weights=Weights.DENSE,
        group=Group(channels, channels),
        bias_blocks=1,
        epilogue=(),
        skip=False,
        distance=16,
    )


def a_tuning(channels: int = 8, cycles: int = 1000) -> Tuning:
    return Tuning(a_shape(channels), TILING, cycles, 10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tilings.jsonl"


def stored(path: Path, config: VtaConfig = PYNQ) -> dict[ConvShape, Tuning]:
    return vta_tunings(read_tunings(path), config)


def test_what_is_stored_is_found(path: Path) -> None:
    store_tuning(path, a_tuning(8), PYNQ)
    store_tuning(path, a_tuning(16), PYNQ)
    assert stored(path) == {a_shape(8): a_tuning(8), a_shape(16): a_tuning(16)}


def test_the_better_tiling_stays(path: Path) -> None:
    for cycles in (1000, 900, 950):
        store_tuning(path, a_tuning(cycles=cycles), PYNQ)
    assert stored(path)[a_shape()].cycles == 900
    assert len(path.read_text().splitlines()) == 1


def test_instructions_have_a_price(path: Path) -> None:
    store_tuning(path, a_tuning(), PYNQ)
    store_tuning(path, replace(a_tuning(cycles=999), instructions=11), PYNQ)
    assert stored(path)[a_shape()].cycles == 1000


def test_boards_of_one_build_share_tilings(path: Path) -> None:
    store_tuning(path, a_tuning(), PYNQ)
    assert stored(path, load_config("pynq_z2")) == stored(path)
    assert stored(path, ULTRA96) == {}
    assert stored(path, replace(PYNQ, log_block=5)) == {}
    assert stored(path, replace(PYNQ, hazard_distance=8)) == {}


def test_one_file_is_for_all_builds(path: Path) -> None:
    store_tuning(path, a_tuning(), PYNQ)
    store_tuning(path, a_tuning(cycles=500), ULTRA96)
    assert (stored(path)[a_shape()].cycles, stored(path, ULTRA96)[a_shape()].cycles) == (1000, 500)


def test_another_schedule_is_kept_and_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vta_tilings, "SCHEDULE", vta_tilings.SCHEDULE + 1)
    store_tuning(path, a_tuning(), PYNQ)
    monkeypatch.undo()
    assert stored(path) == {}
    store_tuning(path, a_tuning(), PYNQ)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("part", ["shape", "tiling"])
def test_a_version_with_other_fields_is_not_used(path: Path, part: str) -> None:
    store_tuning(path, a_tuning(), PYNQ)
    values = json.loads(path.read_text())
    (values["for"]["shape"] if part == "shape" else values["tiling"])["colour"] = 1
    path.write_text(json.dumps(values) + "\n")
    assert stored(path) == {}


def line(**changes: Any) -> str:
    return json.dumps(a_tuning().line(PYNQ) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        line(cycles="many"),
        line(cycles=True),
        line(colour=1),
        line(**{"for": 3}),
    ],
)
def test_a_corrupt_line_is_told_and_never_overwritten(path: Path, text: str) -> None:
    content = f"{line()}\n{text}\n"
    path.write_text(content)
    told = rf"^{path}: line 2 is no tuning; delete the line, or the file$"
    with pytest.raises(InputError, match=told):
        read_tunings(path)
    with pytest.raises(InputError, match=told):
        store_tuning(path, a_tuning(), PYNQ)
    assert path.read_text() == content


def test_other_files_are_no_databases(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*; 'lcp-tvm tune' makes such files"):
        read_tunings(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is not text"):
        read_tunings(path)
    monkeypatch.setattr(database, "MAX_BYTES", 100)
    path.write_text(line() + "\n")
    with pytest.raises(InputError, match="more than 100 bytes"):
        read_tunings(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        store_tuning(tmp_path / "no" / "x.jsonl", a_tuning(), PYNQ)


def _store(path: Path, first: int) -> None:
    for channels in range(first, first + 10):
        store_tuning(path, a_tuning(channels), PYNQ)


def test_processes_that_tune_at_once_lose_nothing(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_store, args=(path, first)) for first in (1, 11, 21)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert set(stored(path)) == {a_shape(channels) for channels in range(1, 31)}


def test_the_hash_is_the_files(path: Path) -> None:
    import hashlib

    store_tuning(path, a_tuning(), PYNQ)
    assert read_tunings(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
