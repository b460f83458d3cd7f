"""Training: it learns, gives the same bits, and goes on after an interruption to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lcp_tvm.errors import InputError
from lcp_tvm.train.curves import Point
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.lesson import Lesson
from lcp_tvm.train.loop import Outcome, train
from lcp_tvm.train.losses import Objective, Teacher
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.shares import Shares
from lcp_tvm.train.torch_network import TorchNetwork
from lcp_tvm.train.watch import TrainingStoppedError, Watch
from tests.train.tiny import PREPROCESS, TinyNetwork, bars

SETTINGS = Settings(epochs=2, batch=16, learning_rate=0.02)
SHARES = Shares("merged", ("b0_relu", "b1_relu"), ((0, 1, 2, 3), (4, 5, 6, 7)))


def labelled(training: int = 50, test: int = 40) -> Lesson:
    return Lesson(bars(training, 1), bars(test, 2), PREPROCESS, Objective())


def taught() -> Lesson:
    """A lesson without a label, by a teacher that knows its answers."""
    teacher = TinyNetwork(7)
    train(teacher, labelled(400), replace(SETTINGS, epochs=6))
    return Lesson(
        bars(400, 1, labelled=False),
        bars(100, 2, labelled=False),
        PREPROCESS,
        Objective(labels=0.0, logits=1.0, features=1.0),
        Teacher(teacher, SHARES),
    )


def bits(network: TorchNetwork) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


class StopAt(Watch):
    """Stops a training after some step of it."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.now = 0

    def stepped(self, stage: str, step: int, steps: int, losses: object) -> None:
        self.now = step

    def stops(self) -> bool:
        return self.now == self.step


class Log(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.epochs: list[Point] = []

    def begins(
        self, stage: str, epochs: int, history: tuple[Point, ...], *, resumed: bool = False
    ) -> None:
        self.told.append((stage, len(history)))

    def epoch_ended(self, point: Point) -> None:
        self.epochs.append(point)


def test_a_network_learns_from_labels() -> None:
    network = TinyNetwork(1)
    outcome = train(network, labelled(400, 100), replace(SETTINGS, epochs=6))
    assert outcome.accuracy >= 95
    assert not network.training


def test_a_network_learns_from_a_teacher() -> None:
    outcome = train(TinyNetwork(1), taught(), replace(SETTINGS, epochs=6))
    assert outcome.accuracy >= 90


def test_both_losses_are_told_apart() -> None:
    lesson = replace(taught(), training=bars(50, 1), test=bars(40, 2))
    lesson = replace(lesson, objective=Objective(labels=1.0, logits=0.5, features=0.5))
    outcome = train(TinyNetwork(1), lesson, SETTINGS)
    for point in outcome.history:
        assert min(point.labels, point.logits, point.features) > 0.01
        assert point.loss == pytest.approx(point.labels + point.logits + point.features)


def test_without_labels_none_is_read() -> None:
    """Labels that are there change nothing, not even wrong ones."""
    lesson = taught()
    without, with_labels = TinyNetwork(1), TinyNetwork(1)
    first = train(without, lesson, SETTINGS)
    garbage: NDArray[np.int64] = np.full(400, -1)
    labels = replace(
        lesson,
        training=Pictures(lesson.training.pixels, garbage),
        test=Pictures(lesson.test.pixels, garbage[:100]),
    )
    second = train(with_labels, labels, SETTINGS)
    assert bits(without) == bits(with_labels)
    assert without_seconds(first) == without_seconds(second)


def test_the_same_training_gives_the_same_bits_and_another_seed_others() -> None:
    first, second, other = TinyNetwork(1), TinyNetwork(1), TinyNetwork(1)
    torch.manual_seed(1)
    train(first, labelled(), SETTINGS)
    torch.manual_seed(2)
    train(second, labelled(), SETTINGS)
    train(other, labelled(), replace(SETTINGS, seed=1))
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)


def test_training_leaves_torch_as_it_was() -> None:
    network, threads = TinyNetwork(1), torch.get_num_threads()
    state = torch.get_rng_state()
    train(network, labelled(), replace(SETTINGS, threads=threads + 1))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path: Path, precision: str) -> None:
    """Stopped after every step there is, once each; also in the last, when all is done."""
    lesson = replace(taught(), training=bars(50, 1), test=bars(40, 2))
    lesson = replace(lesson, objective=Objective(labels=1.0, logits=0.5, features=0.5))
    settings = replace(SETTINGS, precision=precision)
    whole = TinyNetwork(1)
    expected = train(whole, lesson, settings)
    for step in range(1, expected.history[-1].step + 1):
        checkpoint = tmp_path / f"{step}" / "stage.pt"
        with pytest.raises(TrainingStoppedError):
            train(TinyNetwork(1), lesson, settings, checkpoint=checkpoint, watch=StopAt(step))
        resumed = TinyNetwork(1)
        outcome = train(resumed, lesson, settings, checkpoint=checkpoint)
        assert bits(resumed) == bits(whole)
        assert without_seconds(outcome) == without_seconds(expected)


def test_a_training_stopped_again_and_again_comes_to_the_same_bits(tmp_path: Path) -> None:
    whole = TinyNetwork(1)
    steps = train(whole, labelled(), SETTINGS).history[-1].step
    for step in range(1, steps + 1):
        with pytest.raises(TrainingStoppedError):
            train(
                TinyNetwork(1),
                labelled(),
                SETTINGS,
                checkpoint=tmp_path / "stage.pt",
                watch=StopAt(step),
            )
    last = TinyNetwork(1)
    train(last, labelled(), SETTINGS, checkpoint=tmp_path / "stage.pt")
    assert bits(last) == bits(whole)


def test_a_training_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    train(TinyNetwork(1), labelled(), SETTINGS, stage="split", checkpoint=tmp_path / "stage.pt")
    log = Log()
    train(
        TinyNetwork(1),
        labelled(),
        SETTINGS,
        stage="split",
        checkpoint=tmp_path / "stage.pt",
        watch=log,
    )
    assert log.told == [("split", 2)]
    assert log.epochs == []


@pytest.mark.parametrize(
    ("lesson", "settings", "network", "named"),
    [
        (labelled(), replace(SETTINGS, learning_rate=0.01), TinyNetwork(1), "learning rate"),
        (labelled(60), SETTINGS, TinyNetwork(1), "data set"),
        (labelled(50, 30), SETTINGS, TinyNetwork(1), "test set"),
        (labelled(), SETTINGS, TinyNetwork(2), "network"),
        (replace(labelled(), objective=Objective(2.0)), SETTINGS, TinyNetwork(1), "objective"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(
    tmp_path: Path, lesson: Lesson, settings: Settings, network: TorchNetwork, named: str
) -> None:
    train(TinyNetwork(1), labelled(), SETTINGS, checkpoint=tmp_path / "stage.pt")
    with pytest.raises(InputError, match=rf"stage\.pt: .* another {named}; .*--restart"):
        train(network, lesson, settings, checkpoint=tmp_path / "stage.pt")


def test_a_rate_that_is_too_high_is_said_so() -> None:
    with pytest.raises(InputError, match="no number any more; train with a --learning-rate below"):
        train(TinyNetwork(1), labelled(), replace(SETTINGS, learning_rate=1e38))


def without_seconds(outcome: Outcome) -> list[Point]:
    return [replace(point, seconds=0.0) for point in outcome.history]
