"""Pictures of plans: everything is in them, nothing lies on anything else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from PIL import Image

from lcp_tvm.errors import InputError
from lcp_tvm.plan.draw import draw_plan
from lcp_tvm.plan.draw_groups import TIMES, group_tasks
from lcp_tvm.plan.draw_layout import Picture, lay_out
from lcp_tvm.plan.draw_wires import Rect, si
from lcp_tvm.plan.edges import edges
from lcp_tvm.plan.plan import Plan
from tests.plan.plans import branches, chain, layers, reuse, strips, tiles, with_task
from tests.plan.random_plans import plans

PLANS = {
    "tiles": tiles(5, 5, devices=6),
    "reuse": reuse(5, 5),
    "branches": branches(8),
    "many branches": branches(25),
    "chain": chain(16),
    "strips": strips(14, 5),
    "layers": layers(4, 6),
    "many tiles": tiles(40, 40, devices=16),
    "many strips": strips(20, 16),
    "many stages": chain(1000),
}


def labels(picture: Picture) -> list[str]:
    return [card.label for card in picture.cards]


def are_apart(a: Rect, b: Rect) -> bool:
    return a.x + a.w < b.x or b.x + b.w < a.x or a.y + a.h < b.y or b.y + b.h < a.y


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_no_card_lies_on_another(plan: Plan) -> None:
    picture = lay_out(plan)
    assert all(are_apart(a.at, b.at) for a, b in combinations(picture.cards, 2))
    assert all(are_apart(a, b) for a, b in combinations(picture.frames, 2))


@settings(max_examples=50)
@given(plans())
def test_every_task_is_on_one_card_of_its_own(plan: Plan) -> None:
    picture = lay_out(plan)
    assert all(are_apart(a.at, b.at) for a, b in combinations(picture.cards, 2))
    shown = labels(picture)
    assert sorted(shown) == sorted(
        [*plan.inputs, *(task.name for task in plan.tasks), *dict.fromkeys(plan.outputs)]
    )
    moved = sum(plan.nbytes(edge.region) for edge in edges(plan))
    assert sum(wire.nbytes for wire in picture.wires) == moved


def test_tiles_lie_as_in_the_map_they_write() -> None:
    picture = lay_out(tiles(3, 4))
    at = {card.label: card.at for card in picture.cards}
    assert len({at[f"tile_{row}_0"].x for row in range(3)}) == 1
    assert len({at[f"tile_0_{column}"].y for column in range(4)}) == 1
    assert at["tile_0_0"].x < at["tile_0_1"].x < at["tile_0_3"].x
    assert at["tile_0_0"].y < at["tile_1_0"].y < at["tile_2_0"].y
    assert len(picture.frames) == 1
    assert [wire.label for wire in picture.wires] == ["16.9 kB in 12", f"12 {TIMES} 4.1 kB", "40 B"]


def test_with_reuse_neighbours_are_joined_inside_the_frame() -> None:
    picture = lay_out(reuse(3, 3))
    assert len(picture.frames) == 1
    assert len(picture.wires) == 3 + 12  # in, out of the frame, out of the head; 12 neighbours


def test_branches_stand_above_each_other_between_image_and_head() -> None:
    picture = lay_out(branches(4))
    at = {card.label: card.at for card in picture.cards}
    assert len({at[f"branch{number}"].x for number in range(4)}) == 1
    assert at["image"].x < at["branch0"].x < at["head"].x < at["scores"].x
    assert at["image"].middle[1] == pytest.approx(at["head"].middle[1])


def test_a_long_chain_runs_there_and_back() -> None:
    picture = lay_out(chain(16))
    rows: dict[float, list[float]] = {}
    for card in picture.cards:
        rows.setdefault(card.at.y, []).append(card.at.x)
    there, back, again = rows.values()
    assert (there, back, again) == (sorted(there), sorted(back, reverse=True), sorted(again))
    assert [len(xs) for xs in rows.values()] == [6, 6, 6]
    assert picture.bounds().w < 17


def test_what_skips_a_level_goes_over_it() -> None:
    plan = chain(3)
    straight = lay_out(plan).bounds()
    output = replace(plan, outputs=("image", "t2"))
    assert lay_out(output).bounds().y < straight.y


@pytest.mark.parametrize(
    ("plan", "shown"),
    [
        (tiles(40, 40), ["image", f"1600 {TIMES} tile", "head", "scores"]),
        (strips(16, 10), ["image", *(f"10 {TIMES} layer{at}" for at in range(16)), "layer15"]),
        (branches(200), ["image", f"200 {TIMES} branch", "head", "scores"]),
        (chain(240), ["image", *[f"10 {TIMES} stage"] * 24, "t239"]),
    ],
)
def test_large_plans_have_one_card_for_many_tasks(plan: Plan, shown: list[str]) -> None:
    assert labels(lay_out(plan)) == shown


def test_a_card_for_many_tasks_has_the_map_that_they_write() -> None:
    _, card, *_ = lay_out(tiles(20, 10, devices=4)).cards
    assert [device for _, device in card.parts] == [number % 4 for number in range(200)]
    assert card.parts[13] == (((8, 16), (24, 32)), 1)


def test_groups_that_wait_for_each_other_are_drawn_by_depth() -> None:
    plan = strips(2, 2)
    across = {"layer0_0": "a", "layer0_1": "b", "layer1_0": "b", "layer1_1": "a"}
    tasks = [
        replace(task, writes=(replace(task.writes[0], tensor=across[task.name]),))
        for task in plan.tasks
    ]
    reads = [task.reads for task in tasks[:2]] + [tasks[0].writes, tasks[1].writes]
    tasks = [replace(task, reads=read) for task, read in zip(tasks, reads, strict=True)]
    tensors = {"image": plan.tensors["image"]} | dict.fromkeys("ab", plan.tensors["layer0"])
    plan = replace(plan, tasks=tuple(tasks), tensors=tensors, outputs=("a", "b"))
    groups = group_tasks(plan, edges(plan))
    assert [group.level for group in groups] == [0, 0, 1, 1]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_pictures_are_written(plan: Plan, tmp_path: Path) -> None:
    draw_plan(plan, tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as picture:
        assert min(picture.size) > 300


def test_an_svg_says_what_is_in_the_plan_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw_plan(tiles(2, 2), tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for shown in (
        "net  ·  ftp:2x2@4",
        "5 tasks   ·   1 device   ·   591 kMAC   ·   21.2 kB moved over 8 connections",
        "tile_1_0",
        "147 kMAC",
        "gateway",
        "any device that is free",
    ):
        assert f"<!-- {shown} -->" in text


def test_names_that_look_like_formulas_or_that_no_font_has(tmp_path: Path) -> None:
    plan = replace(with_task(chain(2), 0, name="$x_{1$"), name="net 網")
    draw_plan(plan, tmp_path / "plan.svg")
    assert "<!-- $x_{1$ -->" in (tmp_path / "plan.svg").read_text()


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.jpg: pictures of plans are \.svg or \.png files"):
        draw_plan(chain(1), tmp_path / "plan.jpg")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no/plan\.svg: cannot be written \(No such file"):
        draw_plan(chain(1), tmp_path / "no" / "plan.svg")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (640, "640 B"),
        (999.6, "1 kB"),
        (12345, "12.3 kB"),
        (5e6, "5 MB"),
    ],
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert si(number, "B") == text


def test_a_plan_needs_neither_tvm_nor_numpy_nor_matplotlib_until_it_is_drawn() -> None:
    modules = "edges, validate, plan_json, draw"
    code = f"import sys; from lcp_tvm.plan import {modules}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tvm", "numpy", "matplotlib"} & set(ran.stdout.split())
