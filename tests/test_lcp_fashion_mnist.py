"""The scripts of examples/lcp_fashion_mnist: order of work, and the table made of its rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from lcp_tvm.frontend.load import load_network
from lcp_tvm.network import Network
from lcp_tvm.split_text import Lcp
from lcp_tvm.splitting import lcp_network

SCRIPTS = Path(__file__).parents[1] / "examples" / "lcp_fashion_mnist"
MODULES = ("experiment", "measure", "networks", "rows", "table", "variants")


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts as modules; they import each other by their bare names."""

    experiment: ModuleType
    networks: ModuleType
    rows: ModuleType
    table: ModuleType
    variants: ModuleType


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(SCRIPTS)
    import experiment
    import networks
    import rows
    import table
    import variants

    yield Scripts(experiment, networks, rows, table, variants)
    for name in MODULES:
        sys.modules.pop(name, None)


@dataclass(eq=False)
class Trained:
    """Stands in for `Experiment`: remembers what it was asked for; some runs fail."""

    rows: ModuleType
    failing: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    error: type[Exception] = Exception

    def has(self, run: Any) -> bool:
        return run is None or run.file in self.done

    def carry_out(self, run: Any) -> Any:
        assert self.has(run.model)
        if run.file in self.failing:
            raise self.error(f"{run.file}: exit status 2")
        self.done.append(run.file)
        return self.rows.Row(run.network, run.variant, run.seed, 90.0, 89.9, 10, 100, 1, 1, "")


def test_what_the_claims_rest_on_comes_first(scripts: Scripts) -> None:
    runs = scripts.variants.all_runs()
    assert len(runs) == len(set(runs)) == 4 * 3 * len(scripts.variants.VARIANTS)
    assert [run.file for run in runs[:4]] == [
        "cifarnet-original-1.onnx",
        "resnet-original-1.onnx",
        "cifarnet-split2-1.onnx",
        "resnet-split2-1.onnx",
    ]
    for number, run in enumerate(runs):
        assert run.model is None or run.model in runs[:number]


def test_a_command_says_all_that_a_network_is_made_of(scripts: Scripts) -> None:
    run = scripts.variants.Run("cifarnet", "split8-pruned45", 3)
    assert " ".join(run.command("/data", ("--epochs", "12"))) == (
        "lcp-tvm train cifarnet-split8-3.onnx --split lcp:8 --fatten 0 --labels --prune 0.45 "
        "--data /data --test /data --epochs 12 --seed 3 -o cifarnet-split8-pruned45-3.onnx"
    )


@pytest.mark.parametrize("network", ["lenet", "resnet"])
def test_narrow_branches_learn_plain_pictures_and_the_answers_of_the_original(
    scripts: Scripts, network: str
) -> None:
    run = scripts.variants.Run(network, "split8", 3)
    assert " ".join(run.command("/data", ())) == (
        f"lcp-tvm train {network}-original-3.onnx --split lcp:8 --fatten 0 --labels "
        f"--augment none --teacher {network}-original-3.onnx "
        f"--data /data --test /data --seed 3 -o {network}-split8-3.onnx"
    )
    original = scripts.variants.Run(network, "original", 3)
    assert "--teacher" not in original.command("/data", ())


def test_branches_learn_twice_as_long_without_labels(scripts: Scripts) -> None:
    of = {run: run.patience for run in scripts.variants.all_runs() if run.network != "lenet"}
    assert {run.variant for run, times in of.items() if times == 2} == {
        "split2-distilled",
        "split4-distilled",
        "split8-distilled",
    }
    assert set(of.values()) == {1, 2}


def test_fattened_and_pruned_branches_of_lenet_learn_three_times_as_long(scripts: Scripts) -> None:
    runs = scripts.variants.all_runs()
    of = {run.variant: run.patience for run in runs if run.network == "lenet"}
    assert {name for name, times in of.items() if times == 3} == {
        f"split{branches}-{kind}"
        for branches in (4, 8)
        for kind in ("f10", "f20", "f30", "f40", "pruned45")
    }
    assert (of["split8"], of["split2-pruned45"], of["original"]) == (1, 1, 1)


def test_every_command_is_one_that_train_takes(scripts: Scripts) -> None:
    from lcp_tvm.cli.train import train_command

    for run in scripts.variants.all_runs():
        command = run.command("/data", ())
        assert command[:2] == ["lcp-tvm", "train"]
        assert train_command.make_context("train", command[2:]).params["output"] == Path(run.file)


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_run_waits_for_what_it_is_made_of(scripts: Scripts, jobs: int) -> None:
    runs = [run for run in scripts.variants.all_runs() if run.seed == 1]
    trained, reported = Trained(scripts.rows), []
    failures = scripts.experiment.run_all(runs, trained, jobs, reported.append)
    assert failures == []
    assert len(reported) == len(runs)
    assert sorted(trained.done) == sorted(run.file for run in runs)


def test_a_failure_leaves_out_what_is_made_of_it_and_nothing_else(scripts: Scripts) -> None:
    Run = scripts.variants.Run
    runs = [Run(net, name, 1) for name in ("original", "split2") for net in ("lenet", "resnet")]
    trained = Trained(scripts.rows, {runs[0].file}, error=scripts.experiment.FailedRunError)
    reported: list[Any] = []
    assert scripts.experiment.run_all(runs, trained, 1, reported.append) == [
        "lenet-original-1.onnx: exit status 2",
        "lenet-split2-1.onnx: lenet-original-1.onnx is not there",
    ]
    assert [row.network for row in reported] == ["resnet", "resnet"]


def test_rows_come_back_as_they_were_written(scripts: Scripts, tmp_path: Path) -> None:
    row = scripts.rows.Row("lenet", "split2", 1, 90.25, 90.0, 10, 100, 12, 60, "train 'a b', c")
    path = tmp_path / "runs.csv"
    assert scripts.rows.read_rows(path) == []
    for seed in (1, 2):
        scripts.rows.append_row(path, replace(row, seed=seed))
    assert scripts.rows.read_rows(path) == [row, replace(row, seed=2)]


def test_the_table_compares_each_seed_with_its_own_original(scripts: Scripts) -> None:
    original = scripts.rows.Row("lenet", "original", 1, 90.0, 89.5, 1000, 9000, 12, 60, "")
    split = replace(original, variant="split2", accuracy=89.0, parameters=500, macs=4000)
    rows = [
        original,
        replace(original, seed=2, accuracy=92.0),
        split,
        replace(split, seed=2, accuracy=91.5),
        replace(split, variant="split2-int8", accuracy=88.75),
    ]
    table = scripts.table.markdown(scripts.table.lines(rows)).splitlines()
    assert table[2:] == [
        "| lenet | original | 2 | 91.00 | 2.00 |  |  |  | 89.50 | -1.50 | 1,000 | 1.00x "
        "| 9,000 | 1.00x |",
        "| lenet | split2 | 2 | 90.25 | 2.50 | -0.75 | original | -0.5 | 89.50 | -0.75 | 500 "
        "| 2.00x | 4,000 | 2.25x |",
        "| lenet | split2-int8 | 1 | 88.75 | 0.00 | -0.25 | split2 | -0.3 | 89.50 | +0.75 | 500 "
        "| 2.00x | 4,000 | 2.25x |",
    ]


def test_the_demo_runs_the_vgg_and_its_two_branches(scripts: Scripts, tmp_path: Path) -> None:
    path = tmp_path / "vgg.onnx"
    onnx.save(scripts.networks.build("vgg", seed=1), path)
    vgg = load_network(path)
    assert _layers(load_network(SCRIPTS / "vgg_int8.onnx")) == _layers(vgg)
    assert _layers(load_network(SCRIPTS / "vgg_split2.onnx")) == _layers(lcp_network(vgg, Lcp(2)))


def _layers(network: Network) -> list[tuple[int, ...]]:
    """Shapes of all weights, in order of computation."""
    from lcp_tvm.train.torch_network import to_torch

    return [tuple(layer.weight.shape) for layer in to_torch(network.module).layers.values()]
