"""examples/capella: branches from Gluon's files are the split that ``lcp:2`` makes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm.package import read_package
from lcp_tvm.plan.plan_json import plan_json
from tests.capella import script
from tests.cli.refused import outcome, refused

WIDTHS, SIZE = (8, 8, 16, 32, 64), 32
ZOO = Path(__file__).parent / "frontend" / "mxnet_zoo.zip"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capella")
    script().write_all(folder, WIDTHS, SIZE)
    return folder


def test_branches_and_head_make_the_plan_of_the_split(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same tasks, functions, regions, costs and weights; only the dense layer has a name."""
    common = ("--target", "cpu", "--preprocess", folder / "net.toml")
    branches = [folder / f"branch{number}-symbol.json" for number in (0, 1)]
    both, split = tmp_path / "branches.lcp", tmp_path / "split.lcp"
    args = (*branches, "--head", folder / "dense.params", "-o", both, *common)
    status, out, err = outcome(capfd, "compile", *args)
    assert status == 0, err
    assert "Functions of split lcp:2" in out
    whole = (folder / "resnet18-symbol.json", "--split", "lcp:2", "-o", split, *common)
    status, _, err = outcome(capfd, "compile", *whole)
    assert status == 0, err
    found, expected = (
        plan_json(read_package(path).plan()).replace(f'"{name}"', '"NAME"')
        for path, name in ((both, "branch"), (split, "resnet18"))
    )
    assert found == expected.replace("resnetv10_dense0_fwd", "head")


def test_options_that_do_not_go_with_branches(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    branches = [folder / f"branch{number}-symbol.json" for number in (0, 1)]
    common = ("-o", tmp_path / "n.lcp", "--target", "cpu", "--preprocess", folder / "net.toml")
    said = refused(capfd, "compile", *branches, *common)
    assert said.startswith("2 models are given;")
    args = (*branches, "--head", folder / "dense.params", "--split", "lcp:3")
    assert "has 2 branches already; say lcp:2" in refused(capfd, "compile", *args, *common)


def edges(nodes: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Operator, name and inputs of every node."""
    return {
        (node["op"], node["name"], *(nodes[number]["name"] for number, *_ in node["inputs"]))
        for node in nodes
    }


def test_the_script_writes_the_network_of_the_model_zoo() -> None:
    """Operator by operator, weight by weight."""
    with zipfile.ZipFile(ZOO) as archive:
        kept = json.loads(archive.read("resnet18_v1.json"))
    made = script().resnet18_v1(classes=10)
    assert edges(made.nodes) == edges(kept["symbol"]["nodes"])
    assert {name: list(array.shape) for name, array in made.weights.items()} == kept["shapes"]
