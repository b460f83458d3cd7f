"""``lcp-tvm train``: a tiny network end to end, interrupted and not, and what is refused."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from lcp_tvm.cli import cli, main
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_lcp import branch_ends
from lcp_tvm.train.flow import Recipe
from lcp_tvm.train.losses import Objective
from lcp_tvm.train.settings import Settings
from tests.cli.refused import files_in, outcome, refused
from tests.networks import small_classifier

Capture = pytest.CaptureFixture[str]
SIZE, CLASSES = 12, 4
QUICK = ("--threads", 1, "--batch", 32, "--epochs")


def bars(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noisy pictures with a bar: upright, lying, falling or rising."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 150, (count, SIZE, SIZE), np.uint8)
    classes = np.arange(count) % CLASSES
    along = np.arange(SIZE)
    for picture, kind, at in zip(pixels, classes, random.integers(3, SIZE - 3, count), strict=True):
        rows = (along, np.full(SIZE, at), along, SIZE - 1 - along)[kind]
        columns = (np.full(SIZE, at), along, along, along)[kind]
        picture[rows, (columns + (at - 6 if kind > 1 else 0)) % SIZE] = 220
    return {"pictures": pixels, "labels": classes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data.npz, test.npz and untrained.onnx."""
    folder = tmp_path_factory.mktemp("train")
    np.savez(folder / "data.npz", **bars(480, 1))  # type: ignore[arg-type]
    np.savez(folder / "test.npz", **bars(200, 2))  # type: ignore[arg-type]
    onnx.save(small_classifier(CLASSES, SIZE), folder / "untrained.onnx")
    return folder


def arguments(folder: Path, model: str, output: str, epochs: int, *more: object) -> list[str]:
    """A training of the folder's data."""
    fixed = ["--data", folder / "data.npz", "--test", folder / "test.npz", *QUICK, epochs]
    return [str(arg) for arg in ("train", folder / model, "-o", folder / output, *fixed, *more)]


@pytest.fixture(scope="module")
def original(folder: Path) -> str:
    """The network trained from labels, before it is split."""
    args = arguments(folder, "untrained.onnx", "original.onnx", 6, "--split", "none", "--labels")
    assert main(args) == 0
    return "original.onnx"


def accuracy(path: Path) -> float:
    """Percent of the test pictures that a model file classifies right, by onnxruntime."""
    data = bars(200, 2)
    preprocess = load_onnx(path).preprocess
    mean, std = preprocess.mean[0], preprocess.std[0]
    inputs = (data["pictures"].astype(np.float32) * preprocess.scale - mean) / std
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    scores = [session.run(None, {name: np.float32(one[None, None])})[0] for one in inputs]
    return float(100 * (np.concatenate(scores).argmax(1) == data["labels"]).mean())


def branches(path: Path) -> int:
    return len(branch_ends(read_graph(load_onnx(path).module)))


def test_branches_learn_from_labels(folder: Path, original: str, capfd: Capture) -> None:
    args = ("--split", "lcp:2", "--labels", "--max-drop", 100)
    status, out, err = outcome(capfd, *arguments(folder, original, "labels.onnx", 4, *args))
    assert status == 0, err
    path = folder / "labels.onnx"
    assert branches(path) == 2
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "Accuracy on test pictures, by labels"
    assert lines[1].split() == [
        "network", "accuracy", "change", "parameters", "MMAC", "trained",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:4]] == ["original", "lcp:2"]
    assert float(lines[2].split()[1]) == pytest.approx(accuracy(folder / original), abs=0.5)
    assert float(lines[3].split()[1]) == pytest.approx(accuracy(path), abs=0.5)
    assert accuracy(path) > 80
    assert lines[4] == f"wrote {path}; how the training went is in {path.with_suffix('.training')}"
    assert [line for line in err.splitlines() if "lcp:2: epoch 4 of 4" in line]


def test_curves_of_a_training(folder: Path, original: str, capfd: Capture) -> None:
    args = arguments(folder, original, "curves.onnx", 2, "--split", "lcp:2", "--fatten", 0)
    status, out, err = outcome(capfd, *args, "--json")
    assert status == 0, err
    values = json.loads(out)
    assert values["file"] == str(folder / "curves.onnx")
    assert [stage["name"] for stage in values["stages"]] == ["original", "lcp:2"]
    with (folder / "curves.training" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"]) for row in rows] == [("lcp:2", "1"), ("lcp:2", "2")]
    assert [float(row["loss"]) for row in rows] == pytest.approx(
        [point["loss"] for point in values["history"]], rel=1e-5
    )
    with Image.open(folder / "curves.training" / "curves.png") as picture:
        assert picture.format == "PNG"


def test_branches_learn_from_the_original_without_labels(
    folder: Path, original: str, capfd: Capture
) -> None:
    """The file has no labels, so that nothing could read them."""
    for name, count, seed in (("data", 480, 1), ("test", 200, 2)):
        np.savez(folder / f"bare_{name}.npz", pictures=bars(count, seed)["pictures"])
    bare = ("--data", folder / "bare_data.npz", "--test", folder / "bare_test.npz")
    args = arguments(folder, original, "distilled.onnx", 6, "--split", "lcp:2", "--fatten", 0)
    status, out, err = outcome(capfd, *args, *bare)
    assert status == 0, err
    assert out.startswith("Accuracy on test pictures, by the teacher's answers")
    assert branches(folder / "distilled.onnx") == 2
    assert accuracy(folder / "distilled.onnx") > accuracy(folder / original) - 5


@pytest.mark.parametrize("how", ["--labels", "--no-labels"])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    folder: Path, original: str, capfd: Capture, how: str
) -> None:
    options = ["--split", "lcp:2", "--fatten", "0", *(["--labels"] if how == "--labels" else [])]
    whole = arguments(folder, original, f"whole{how}.onnx", 6, *options)
    status, _, err = outcome(capfd, *whole)
    assert status == 0, err
    parts = arguments(folder, original, f"parts{how}.onnx", 6, *options)
    status, err = interrupt_after(parts, "lcp:2: epoch 2 of 6")
    assert status == 130, err
    assert err.endswith("lcp-tvm: interrupted; the same command goes on from here\n")
    assert not (folder / f"parts{how}.onnx").exists()
    status, _, err = outcome(capfd, *parts)
    assert status == 0, err
    assert "of 6; --restart begins anew" in err
    assert (folder / f"parts{how}.onnx").read_bytes() == (folder / f"whole{how}.onnx").read_bytes()


PRESS_CTRL_C = """
import signal, sys
from lcp_tvm.cli import main
from lcp_tvm.cli.output import ProgressBar

def say(progress, line, say=ProgressBar.say):
    say(progress, line)
    if sys.argv[1] in line:
        signal.raise_signal(signal.SIGINT)

ProgressBar.say = say
sys.exit(main(sys.argv[2:]))
"""


def interrupt_after(args: list[str], said: str) -> tuple[int, str]:
    """Press Ctrl-C just when a command has said something; its status and all of stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PRESS_CTRL_C, said, *args],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stderr


def test_another_commands_checkpoint_is_refused(
    folder: Path, original: str, capfd: Capture
) -> None:
    options = ("--split", "lcp:2", "--fatten", 0)
    for epochs in (1, 2):
        args = arguments(folder, original, "again.onnx", epochs, *options)
        if epochs == 1:
            assert outcome(capfd, *args)[0] == 0
    error = refused(capfd, *args)
    assert "belongs to a training with another epochs" in error
    assert "--restart" in error
    assert outcome(capfd, *args, "--restart")[0] == 0


def test_pruned_and_quantised_branches_compile(folder: Path, original: str, capfd: Capture) -> None:
    path = folder / "small.onnx"
    options = ("--split", "lcp:2", "--fatten", 0, "--labels", "--prune", 0.45, "--qat")
    status, out, err = outcome(capfd, *arguments(folder, original, path.name, 2, *options))
    assert status == 0, err
    names = [line.split()[0] for line in out.splitlines()[2:6]]
    assert names == ["original", "lcp:2", "pruned", "int8"]
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(path).graph.node}
    args = ("compile", path, "-o", folder / "small.lcp", "--split", "lcp:2", "--target", "cpu")
    assert outcome(capfd, *args)[0] == 0


# What is refused, before any training.


def spoilt(folder: Path, name: str, **changes: np.ndarray) -> Path:
    """The data with other arrays."""
    np.savez(folder / name, **{**bars(480, 1), **changes})  # type: ignore[arg-type]
    return folder / name


def test_bad_data_is_told_before_training(folder: Path, capfd: Capture) -> None:
    data = bars(480, 1)
    labels = data["labels"].copy()
    labels[77] = 4
    broken = folder / "pictures" / "0"
    broken.mkdir(parents=True)
    for number in range(10):
        Image.fromarray(data["pictures"][number]).save(broken / f"{number}.png")
    (broken / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expected = {
        broken.parent: f"{broken / '7.png'}: not a picture; PNG, JPEG and the like can be read",
        spoilt(
            folder, "range.npz", labels=labels
        ): "labels: row 77 is 4; the network tells 4 classes apart, 0 to 3",
        spoilt(folder, "one.npz", labels=0 * labels): "all 480 pictures are of class 0",
        spoilt(folder, "few.npz", labels=labels[:5], pictures=data["pictures"][:5]): "5 pictures",
    }
    for path, message in expected.items():
        for option in ("--data", "--test"):
            args = arguments(folder, "untrained.onnx", "no.onnx", 1, "--split", "lcp:2", "--labels")
            error = refused(capfd, *args, option, path)
            assert message in error
            assert str(path) in error
    assert not [name for name in files_in(folder) if name.startswith("no.")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "ftp:2x2"), "--split ftp:2x2: computes what the model does"),
        (("--split", "lcp:2+10%", "--fatten", "auto"), "give one of them"),
        (("--split", "lcp:2+0%", "--fatten", "10"), "give one of them"),
        (("--split", "none"), "untrained: it would learn its own answers"),
        (("--split", "none", "--fatten", "10"), "--fatten goes with --split lcp:N"),
        (("--split", "lcp:2", "--fatten", "thick"), "--fatten thick: neither auto nor percent"),
        (("--split", "lcp:2", "--fatten", "nan"), "--fatten nan: neither auto nor percent"),
        (("--split", "lcp:2", "-o", "split.lcp"), "the name of the trained model ends in .onnx"),
        (("--split", "lcp:2", "-o", "no/split.onnx"), "its folder does not exist"),
        (("--split", "lcp:2", "-o", f"{'long' * 62}.onnx"), "cannot be written (File name too"),
        (("--split", "lcp:2", "--data", "long" * 100), "File name too long"),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, capfd: Capture, options: tuple[str, ...], message: str
) -> None:
    args = arguments(folder, "untrained.onnx", "no.onnx", 1, *options)
    assert message in refused(capfd, *args)


@pytest.mark.parametrize("option", ["--max-drop", "--max-fatten", "--learning-rate", "--prune"])
def test_not_a_number_is_in_no_range(folder: Path, capfd: Capture, option: str) -> None:
    args = arguments(folder, "untrained.onnx", "no.onnx", 1, "--split", "lcp:2", option, "nan")
    status, _, err = outcome(capfd, *args)
    assert status == 2
    assert "nan is no number." in err


def test_what_is_read_is_never_overwritten(folder: Path, capfd: Capture) -> None:
    args = arguments(folder, "untrained.onnx", "untrained.onnx", 1, "--split", "lcp:2")
    assert "is read here, and stays as it is" in refused(capfd, *args)


def test_pictures_to_train_with_are_none_to_test_with(folder: Path, capfd: Capture) -> None:
    args = arguments(folder, "untrained.onnx", "no.onnx", 1, "--split", "lcp:2")
    error = refused(capfd, *args, "--test", folder / "data.npz")
    assert error.endswith("the pictures of --data; leave it out, and 10% is held out")


def test_a_folder_is_no_file_to_write(folder: Path, capfd: Capture) -> None:
    (folder / "folder.onnx").mkdir()
    args = arguments(folder, "untrained.onnx", "folder.onnx", 1, "--split", "lcp:2")
    assert "folder.onnx: is a folder; give the name of a file" in refused(capfd, *args)


def test_a_network_of_one_score(folder: Path, capfd: Capture) -> None:
    onnx.save(small_classifier(1, SIZE), folder / "score.onnx")
    args = arguments(folder, "score.onnx", "no.onnx", 1, "--split", "lcp:2")
    assert "score: its result is one score" in refused(capfd, *args)


def test_a_percentage_of_0_is_one(folder: Path, original: str, capfd: Capture) -> None:
    """Where lcp:2 would be fattened until nothing is lost."""
    options = ("--split", "lcp:2+0%", "--max-drop", 0, "--json")
    status, out, err = outcome(capfd, *arguments(folder, original, "thin.onnx", 1, *options))
    assert status == 0, err
    values = json.loads(out)
    assert [stage["name"] for stage in values["stages"]] == ["original", "lcp:2"]
    assert "points of accuracy are lost, more than the 0 allowed" in values["messages"][-1]


def test_from_scratch_a_brief_training_is_measured_as_it_was_trained(
    folder: Path, capfd: Capture
) -> None:
    options = ("--split", "none", "--labels", "--from-scratch", "--json")
    args = arguments(folder, "untrained.onnx", "brief.onnx", 3, *options)
    status, out, err = outcome(capfd, *args)
    assert status == 0, err
    last = json.loads(out)["history"][-1]
    assert last["train_accuracy"] > 70
    assert last["test_accuracy"] > last["train_accuracy"] - 10


def test_a_teacher_of_other_classes(folder: Path, capfd: Capture) -> None:
    onnx.save(small_classifier(3, SIZE), folder / "three.onnx")
    args = arguments(folder, "untrained.onnx", "no.onnx", 1, "--split", "lcp:2")
    error = refused(capfd, *args, "--teacher", folder / "three.onnx")
    assert "tells 3 classes apart" in error


def test_without_torch_one_line_says_how_to_get_it(
    folder: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    args = arguments(folder, "untrained.onnx", "no.onnx", 1, "--split", "lcp:2")
    assert refused(capfd, *args) == ("lcp-tvm train needs PyTorch: pip install 'lcp-tvm[train]'")


def test_defaults_are_those_of_the_settings() -> None:
    """They are written twice, because help must not load PyTorch."""
    settings, shown = Settings(), {p.name: p.default for p in cli.commands["train"].params}
    names = [field.name for field in fields(Settings) if field.name != "threads"]
    told = {name: shown[name] for name in names if name in shown}
    assert told == {name: getattr(settings, name) for name in told}
    assert set(names) - set(told) == {"weight_decay"}
    recipe = Recipe(branches=None)
    assert shown["temperature"] == recipe.temperature == Objective().temperature
    assert (shown["max_drop"], shown["max_fatten"]) == (recipe.max_drop, recipe.max_fatten)
