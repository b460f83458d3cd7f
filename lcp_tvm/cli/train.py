"""``lcp-tvm train``: an LCP network whose accuracy is restored."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from lcp_tvm.atomic_file import check_writable
from lcp_tvm.cli.options import FILE, Number, debug_option, json_option
from lcp_tvm.cli.output import INTERRUPTED, ProgressBar, print_json, print_messages, stdout_console
from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.split_text import MAX_FATTEN, Lcp, Whole, parse_split

if TYPE_CHECKING:
    from rich.table import Table

    from lcp_tvm.network import Network
    from lcp_tvm.train.data import Pictures
    from lcp_tvm.train.flow import Recipe, Stage, Trained
    from lcp_tvm.train.settings import Settings

MIN_CLASSES = 2
HELD_OUT = 0.1
"""Share of the pictures that are tested with alone, where there is no --test; LCP's."""


@click.command("train")
@click.argument("model", metavar="MODEL", type=FILE)
@click.option("-o", "--output", metavar="OUT.onnx", type=FILE, required=True, help="To write.")
@click.option(
    "--split",
    "split_text",
    metavar="lcp:N[+F%]|none",
    required=True,
    help="Branches to make, or none: the model itself is trained. Of a model that has branches, "
    "say how many.",
)
@click.option(
    "--data",
    metavar="DIR|NPZ|IDX",
    type=FILE,
    required=True,
    help="Pictures: a folder, with a folder for each class where there are --labels; an .npz with "
    "pictures (and labels); or IDX files as MNIST's.",
)
@click.option(
    "--test",
    metavar="DIR|NPZ|IDX",
    type=FILE,
    help="Pictures to measure with, never to train with; of a folder of IDX files those of "
    f"t10k-*.  [default: {HELD_OUT:.0%} of --data]",
)
@click.option(
    "--labels",
    "labelled",
    is_flag=True,
    help="Learn from the pictures' labels. Without, from a teacher, and no label is ever read.",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    type=FILE,
    help="Trained network whose answers are learnt too.  [default: without --labels, MODEL]",
)
@click.option(
    "--fatten",
    metavar="auto|F",
    help="Percent that each branch is fattened by; auto tries 0, 10, 20, ...  "
    "[default: auto, or as --split says]",
)
@click.option(
    "--max-drop",
    metavar="POINTS",
    type=Number(0, 100),
    default=3.0,
    show_default=True,
    help="Accuracy that may be lost, in percent of pictures; less loss ends --fatten auto.",
)
@click.option(
    "--max-fatten",
    metavar="F",
    type=Number(0, MAX_FATTEN),
    default=40.0,
    show_default=True,
    help="The most that --fatten auto tries.",
)
@click.option("--epochs", type=click.IntRange(1, 10_000), default=12, show_default=True)
@click.option(
    "--batch",
    metavar="N",
    type=click.IntRange(4, 65_536),
    default=128,
    show_default=True,
    help="Pictures of a step.",
)
@click.option(
    "--learning-rate",
    type=Number(0, 10, min_open=True),
    default=3e-3,
    show_default=True,
    help="The highest of the training.",
)
@click.option(
    "--temperature",
    metavar="T",
    type=Number(1, 100),
    default=4.0,
    show_default=True,
    help="Softens a teacher's answers; 1 leaves them as they are.",
)
@click.option(
    "--augment",
    type=click.Choice(("none", "shift", "mirror", "shift+mirror")),
    default="shift",
    show_default=True,
    help="What is done to pictures before they are shown: shifts by up to 2 pixels, mirroring.",
)
@click.option("--from-scratch", is_flag=True, help="Forget the model's weights first, as LCP does.")
@click.option(
    "--prune",
    metavar="RATIO",
    type=Number(0, 1, min_open=True, max_open=True),
    help="Take this share of the weights from every layer, channel by channel, and train on.",
)
@click.option(
    "--qat",
    is_flag=True,
    help="Train on with int8 numbers and write a QDQ model, which 'compile' takes as it is.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--precision",
    type=click.Choice(("float32", "bf16")),
    default="float32",
    show_default=True,
    help="Of products; bf16 is about twice as fast where the CPU has it.",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 1024),
    help="Of the CPU; other counts give other last bits.  [default: all cores]",
)
@click.option("--restart", is_flag=True, help="Begin anew, whatever OUT.training has.")
@click.option(
    "--preprocess",
    metavar="FILE.toml",
    type=FILE,
    help="What a picture must look like, as for 'compile'.",
)
@json_option
@debug_option
def train_command(
    model: Path,
    output: Path,
    split_text: str,
    data: Path,
    test: Path | None,
    labelled: bool,
    teacher: Path | None,
    fatten: str | None,
    max_drop: float,
    max_fatten: float,
    epochs: int,
    batch: int,
    learning_rate: float,
    temperature: float,
    augment: str,
    from_scratch: bool,
    prune: float | None,
    qat: bool,
    seed: int,
    precision: str,
    threads: int | None,
    restart: bool,
    preprocess: Path | None,
    as_json: bool,
) -> None:
    """Split a model into LCP branches and train them until they are as accurate as it was.

    With --labels from labels, without from the model's own answers; with --teacher from that
    network's. The branches are fattened until at most --max-drop points of accuracy are lost.

    Beside OUT.onnx there will be OUT.training: curves.csv, curves.png, and what an interrupted
    training goes on from when the same command is given again.

    \b
    Examples:
      lcp-tvm train net.onnx --split lcp:2 --data pictures/ -o split.onnx
      lcp-tvm train net.onnx --split lcp:8 --data mnist.npz --labels -o split.onnx
      lcp-tvm train net.onnx --split lcp:4 --fatten 20 --data fashion-mnist/ \\
          --test fashion-mnist/ --labels --prune 0.45 --qat -o small.onnx
      lcp-tvm compile split.onnx -o net.lcp --split lcp:2 --calibrate pictures/
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError("lcp-tvm train needs PyTorch: pip install 'lcp-tvm[train]'")
    _check_output(output, model, teacher)
    split = _split(split_text)
    percent = _fatten(fatten, split, told="+" in split_text)
    with ProgressBar() as progress:
        progress("loading PyTorch", 0.0)
        from lcp_tvm.train.flow import Recipe, check_lesson
        from lcp_tvm.train.settings import Settings

        recipe = Recipe(
            branches=split.branches if isinstance(split, Lcp) else None,
            fatten=percent,
            max_drop=max_drop,
            max_fatten=max_fatten,
            labels=labelled,
            temperature=temperature,
            from_scratch=from_scratch,
            prune=prune or 0.0,
            qat=qat,
        )
        settings = Settings(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            augment=cast(Any, augment),  # click has seen that it is one of them
            precision=cast(Any, precision),
            threads=threads or len(os.sched_getaffinity(0)),
        )
        network, original = _networks(model, teacher, preprocess, progress)
        check_lesson(network, recipe, original)
        sets = _pictures(data, test, network, labelled, seed, progress)
        folder = output.with_suffix(".training")
        _prepare(folder, restart)
        trained = _train(network, original, sets, recipe, settings, output, folder, progress)
    if as_json:
        print_json({"file": str(output), **_json(trained)})
        return
    print_messages(trained.network.messages)
    stdout_console().print(_table(trained.stages, labelled))
    click.echo(f"wrote {output}; how the training went is in {folder}")


def _check_output(output: Path, model: Path, teacher: Path | None) -> None:
    if output.suffix != ".onnx":
        raise InputError(f"{output}: the name of the trained model ends in .onnx")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: its folder does not exist; make it first")
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give the name of a file")
    check_writable(output)
    for read in filter(None, (model, teacher)):
        if output.exists() and read.exists() and output.samefile(read):
            raise InputError(f"{output}: is read here, and stays as it is; give another -o")


def _split(text: str) -> Whole | Lcp:
    split = parse_split(text)
    if isinstance(split, Lcp) or split == Whole():
        return split
    raise InputError(
        f"--split {text}: computes what the model does and needs no training; "
        "lcp:N makes branches, none trains the model itself"
    )


def _fatten(text: str | None, split: Whole | Lcp, *, told: bool) -> float | None:
    """Return percent, or None where training finds out how much is needed.

    ``told`` says whether ``split`` was told with a percentage.
    """
    if isinstance(split, Whole):
        if text is not None:
            raise InputError("--fatten goes with --split lcp:N; nothing is fattened without it")
        return None
    if text is None:
        return split.fatten if told else None
    if told:
        raise InputError("--fatten and a + in --split both say how fat; give one of them")
    if text == "auto":
        return None
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= MAX_FATTEN:
        raise InputError(f"--fatten {text[:20]}: neither auto nor percent, 0 to {MAX_FATTEN:g}")
    return percent


def _networks(
    model: Path, teacher: Path | None, preprocess: Path | None, progress: ProgressBar
) -> tuple[Network, Network | None]:
    """Read the model, and the teacher where one is told."""
    from lcp_tvm.frontend.load import load_network
    from lcp_tvm.pictures import read_preprocess

    progress("reading the model", 0.0)
    wanted = None if preprocess is None else read_preprocess(preprocess)
    network = load_network(model, preprocess=wanted)
    if teacher is None:
        return network, None
    original = load_network(teacher, preprocess=wanted)
    if original.input_shape != network.input_shape or _classes(original) != _classes(network):
        raise InputError(
            f"--teacher {teacher}: takes {list(original.input_shape)} and tells "
            f"{_classes(original)} classes apart, the model takes {list(network.input_shape)} "
            f"and tells {_classes(network)}; they must agree"
        )
    return network, original


def _classes(network: Network) -> int:
    shape = getattr(network.module["main"].ret_ty, "shape", None)
    if shape is None or len(shape) != 2:
        raise ModelError(f"{network.name}: its result is not [1, classes]; classifiers are trained")
    if shape[1] < MIN_CLASSES:
        raise ModelError(
            f"{network.name}: its result is one score; classifiers of {MIN_CLASSES} classes or "
            f"more are trained"
        )
    return int(shape[1])


def _pictures(
    data: Path,
    test: Path | None,
    network: Network,
    labelled: bool,
    seed: int,
    progress: ProgressBar,
) -> tuple[Pictures, Pictures]:
    """Return the pictures to train with and those to test with, all of them checked."""
    import numpy as np

    from lcp_tvm.train.data import hold_out, read_data

    classes = _classes(network)
    training = read_data(data, network, labelled=labelled, classes=classes, progress=progress)
    if test is None:
        return hold_out(training, HELD_OUT, seed)
    testing = read_data(
        test, network, labelled=labelled, classes=classes, progress=progress, part="test"
    )
    if np.array_equal(training.pixels, testing.pixels):
        raise InputError(
            f"--test {test}: the pictures of --data; leave it out, and {HELD_OUT:.0%} is held out"
        )
    return training, testing


def _prepare(folder: Path, restart: bool) -> None:
    """Make the folder of checkpoints and curves, or forget the checkpoints in it."""
    try:
        folder.mkdir(exist_ok=True)
        for checkpoint in folder.glob("*.pt") if restart else ():
            checkpoint.unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _train(
    network: Network,
    teacher: Network | None,
    sets: tuple[Pictures, Pictures],
    recipe: Recipe,
    settings: Settings,
    output: Path,
    folder: Path,
    progress: ProgressBar,
) -> Trained:
    """Follow the recipe and write what came of it, or end with the shell's status after Ctrl-C."""
    from lcp_tvm.cli.training import Follow
    from lcp_tvm.frontend.export_file import write_onnx
    from lcp_tvm.train.flow import train_network
    from lcp_tvm.train.watch import TrainingStoppedError

    with Follow(progress, folder) as follow:
        try:
            trained = train_network(
                network, recipe, *sets, settings, teacher=teacher, folder=folder, watch=follow
            )
            if follow.stops():
                raise TrainingStoppedError(folder)
        except TrainingStoppedError as stopped:
            progress.say("lcp-tvm: interrupted; the same command goes on from here")
            raise click.exceptions.Exit(INTERRUPTED) from stopped
        write_onnx(trained.network, output)
        follow.draw()
    return trained


def _json(trained: Trained) -> dict[str, Any]:
    return {
        "messages": list(trained.network.messages),
        "stages": [asdict(stage) for stage in trained.stages],
        "history": [asdict(point) for point in trained.history],
    }


def _table(stages: Sequence[Stage], labelled: bool) -> Table:
    from rich.table import Table

    what = "labels" if labelled else "the teacher's answers"
    title = f"Accuracy on test pictures, by {what}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("network")
    for heading in ("accuracy", "change", "parameters", "MMAC", "trained"):
        table.add_column(heading, justify="right")
    for stage in stages:
        table.add_row(
            stage.name,
            f"{stage.accuracy:.2f} %",
            f"{stage.accuracy - stages[0].accuracy:+.2f}",
            f"{stage.parameters:,}",
            f"{stage.macs / 1e6:.3f}",
            f"{stage.seconds:.1f} s",
        )
    return table
