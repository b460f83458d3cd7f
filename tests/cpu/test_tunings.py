"""Choices of CPU kernels in a database: what is stored is used, and what is wrong is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm.cpu import tunings as module_under_test
from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.dot import DOTS
from lcp_tvm.cpu.kernels.conv import Conv, Tile
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.kernels.winograd import Winograd
from lcp_tvm.cpu.processor import PROCESSORS
from lcp_tvm.cpu.templates import Choice, choices_of
from lcp_tvm.cpu.tunings import (
    SHIPPED,
    Chooser,
    Layer,
    Tuning,
    code_of,
    cpu_tunings,
    shipped_tunings,
    store_tuning,
)
from lcp_tvm.errors import InputError
from lcp_tvm.tunings import read_tunings

CPU = PROCESSORS["x86-64-v3"]
CORE = CPU.core
CONV = Conv(
    Blocked(1, 64, 14, 14, 8, Halo(1, 1, 1, 1)),
    Blocked(1, 64, 14, 14, 8),
    *((3, 3), (1, 1), (1, 1), (1, 1), 1, ()),
)
TUNED = choices_of(CONV, CORE)[2]
TUNING = Tuning(CPU.name, "a PC", Layer.of(CONV), TUNED, 900, 1000)


DOTS_BY_CODE = {
    (code_of(processor), DOTS[name].name): DOTS[name] for name, processor in PROCESSORS.items()
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tunings.jsonl"


def chosen(path: Path, conv: Conv = CONV, where: str = "a PC") -> Any:
    return Chooser(cpu_tunings(read_tunings(path), CPU, where), CORE)(conv)


def test_what_is_stored_is_chosen(path: Path) -> None:
    store_tuning(path, TUNING)
    assert chosen(path) == TUNED
    assert cpu_tunings(read_tunings(path), CPU) == {Layer.of(CONV): TUNING}


def test_other_layers_take_the_models_choice(path: Path) -> None:
    store_tuning(path, TUNING)
    other = replace(CONV, kernel=(1, 1))
    assert chosen(path, other) == choices_of(other, CORE)[0]
    assert cpu_tunings(read_tunings(path), PROCESSORS["x86-64-v2"]) == {}


def test_halos_and_what_follows_the_sums_make_no_other_layer(path: Path) -> None:
    store_tuning(path, TUNING)
    out = replace(CONV.out, halo=Halo(2, 2, 2, 2))
    assert chosen(path, replace(CONV, out=out)) == TUNED


def test_a_new_measurement_replaces_the_old_one(path: Path) -> None:
    store_tuning(path, TUNING)
    store_tuning(path, replace(TUNING, ns=950))
    assert [line["ns"] for line in read_tunings(path).lines()] == [950]


def test_layers_of_bytes_are_others(path: Path) -> None:
    """By the instruction that multiplies them."""
    (madd, vnni) = (Int8Conv.of(CONV, DOTS[name]) for name in ("x86-64-v3", "x86-64-v4-vnni"))
    best = choices_of(madd, CORE)[1]
    store_tuning(path, TUNING)
    store_tuning(path, replace(TUNING, layer=Layer.of(madd), choice=best))
    assert (chosen(path), chosen(path, madd)) == (TUNED, best)
    assert chosen(path, vnni) == choices_of(vnni, CORE)[0]


def test_measurements_of_the_same_processor_come_first(path: Path) -> None:
    other = choices_of(CONV, CORE)[3]
    store_tuning(path, TUNING)
    store_tuning(path, replace(TUNING, where="another", choice=other))
    assert (chosen(path), chosen(path, where="another")) == (TUNED, other)
    assert chosen(path, where="a third") in (TUNED, other)


def test_another_template_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_under_test, "TEMPLATE", module_under_test.TEMPLATE + 1)
    store_tuning(path, TUNING)
    monkeypatch.undo()
    assert chosen(path) == choices_of(CONV, CORE)[0]


DIRECT = next(choice for choice in choices_of(CONV, CORE) if isinstance(choice, Tile))


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": 99},  # more than there are registers
        {"columns": -1},
        {"columns": 0},
        {"columns": "4"},
        {"columns": None},
        {"template": "none"},
        {"template": "winograd_conv2d"},
        {"template": []},
        {"another": 1},
    ],
)
def test_an_impossible_choice_is_not_used(path: Path, changes: dict[str, Any]) -> None:
    """Each differs in one thing from a possible one, which is used."""
    possible = replace(TUNING, choice=DIRECT).line
    path.write_text(json.dumps(possible) + "\n")
    assert chosen(path) == DIRECT
    path.write_text(json.dumps({**possible, "choice": {**possible["choice"], **changes}}) + "\n")
    assert chosen(path) == choices_of(CONV, CORE)[0]


@pytest.mark.parametrize(
    "changes", [{"outputs": 0}, {"outputs": 3}, {"chunk": 0}, {"chunk": 1 << 40}, {"tile": {}}]
)
def test_an_impossible_choice_of_winograds_is_not_used(path: Path, changes: dict[str, Any]) -> None:
    choice = {**TUNING.line["choice"], **changes}
    path.write_text(json.dumps({**TUNING.line, "choice": choice}) + "\n")
    assert chosen(path) == choices_of(CONV, CORE)[0]


@pytest.mark.parametrize("missing", ["template", "columns", "vmla"])
def test_a_choice_that_lacks_something_is_not_used(path: Path, missing: str) -> None:
    line = replace(TUNING, choice=DIRECT).line
    choice = {key: value for key, value in line["choice"].items() if key != missing}
    path.write_text(json.dumps({**line, "choice": choice}) + "\n")
    assert chosen(path) == choices_of(CONV, CORE)[0]


@pytest.mark.parametrize(
    "changes", [{"ns": "1"}, {"choice": 3}, {"for": {}}, {"cycles": 3}, {"ns": True}]
)
def test_a_corrupt_line_is_told(path: Path, changes: dict[str, Any]) -> None:
    path.write_text(json.dumps({**TUNING.line, **changes}) + "\n")
    with pytest.raises(InputError, match="line 1 is no tuning; delete the line, or the file"):
        read_tunings(path)


@pytest.mark.parametrize("choice", [Tile(7, 2), Winograd(4, Tile(6, 2), 36), Int8Tile(3, 2)])
def test_every_kind_of_choice_survives(path: Path, choice: Choice) -> None:
    store_tuning(path, replace(TUNING, choice=choice))
    assert cpu_tunings(read_tunings(path), CPU)[Layer.of(CONV)].choice == choice


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_choice_that_is_shipped_is_faster_and_possible(path: Path) -> None:
    processor = PROCESSORS[path.stem]
    tunings = shipped_tunings([processor])
    known = cpu_tunings(tunings, processor)
    assert len(known) == len(list(tunings.lines()))
    for layer, tuning in known.items():
        size = layer.height, layer.width
        conv = Conv(
            Blocked(layer.batch, layer.inputs, *size, layer.lanes),
            Blocked(layer.batch, layer.outputs, *size, processor.core.lanes),
            *(layer.kernel, layer.strides, (0, 0), layer.dilation, layer.groups, ()),
        )
        if layer.products != "float32":
            conv = Int8Conv.of(conv, DOTS_BY_CODE[path.stem, layer.products])
        assert Layer.of(conv) == layer
        assert tuning.choice in choices_of(conv, processor.core)
        assert tuning.ns <= tuning.model_ns


def test_processors_of_the_same_float_code_share_what_is_shipped() -> None:
    shared = [PROCESSORS["x86-64-v4"], PROCESSORS["x86-64-v4-vnni"]]
    assert shipped_tunings(shared) == shipped_tunings(shared[:1])
    assert shipped_tunings(shared[:1]).text


@pytest.mark.parametrize("name", ["cortex-a9", "cortex-a53", "cortex-a72"])
def test_what_no_board_has_measured_says_so(name: str) -> None:
    known = cpu_tunings(shipped_tunings([PROCESSORS[name]]), PROCESSORS[name])
    assert known
    assert all(tuning.where.startswith("modelled") for tuning in known.values())
