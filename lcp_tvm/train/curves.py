"""How a training went, epoch by epoch: a CSV, and a picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lcp_tvm.atomic_file import atomic_file


@dataclass(frozen=True, slots=True)
class Point:
    """An epoch of a stage.

    Attributes
    ----------
    stage : which training of the flow, e.g. "lcp:2+10%".
    epoch : from 1.
    step : steps of the stage so far.
    loss : mean over the epoch, the sum of the three parts that follow.
    labels, logits, features : those parts, weighted; 0 where a part is not used.
    learning_rate : of the epoch's last step.
    train_accuracy, test_accuracy : percent; of the epoch's pictures as they were seen, and of
        those that training never sees. Without labels, how often the teacher says the same.
    seconds : that the epoch took.
    """

    stage: str
    epoch: int
    step: int
    loss: float
    labels: float
    logits: float
    features: float
    learning_rate: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


def write_curves(points: Sequence[Point], path: Path) -> None:
    """Write a line of CSV for each point; the file is replaced whole.

    Raises
    ------
    InputError
        It cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [field.name for field in fields(Point)], lineterminator="\n")
    table.writeheader()
    for point in points:
        values = asdict(point)
        table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()})
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())


def plot_curves(points: Sequence[Point], path: Path) -> None:
    """Draw loss, accuracy and learning rate over all epochs, a line for each stage, as a PNG.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    first = 1
    for stage, group in groupby(points, lambda point: point.stage):
        of_stage = list(group)
        epochs = range(first, first + len(of_stage))
        first += len(of_stage)
        (line,) = loss.plot(epochs, [point.loss for point in of_stage], ".-", label=stage)
        colour = line.get_color()
        accuracy.plot(
            epochs, [point.test_accuracy for point in of_stage], ".-", color=colour, label=stage
        )
        accuracy.plot(
            epochs, [point.train_accuracy for point in of_stage], ":", color=colour, alpha=0.6
        )
        rate.plot(epochs, [point.learning_rate for point in of_stage], ".-", color=colour)
    _finish(loss, "loss")
    _finish(accuracy, "accuracy, %: test, and train (dotted)")
    _finish(rate, "learning rate")
    if points:
        accuracy.legend(fontsize=8)
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _finish(axes: Axes, what: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_title(what, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
