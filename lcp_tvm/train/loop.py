"""The training loop: batches in order, one optimiser, checkpoints, the same bits every time."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lcp_tvm.errors import InputError
from lcp_tvm.train import fingerprint
from lcp_tvm.train.accuracy import accuracy
from lcp_tvm.train.batches import Batches, batches_of
from lcp_tvm.train.checkpoint import Checkpoint, State
from lcp_tvm.train.curves import Point
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.determinism import best_device, deterministic
from lcp_tvm.train.lesson import Lesson
from lcp_tvm.train.losses import RESULT, losses
from lcp_tvm.train.optimiser import learning_rate, make_optimiser
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.torch_network import TorchNetwork
from lcp_tvm.train.watch import TrainingStoppedError, Watch


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: the accuracy of the test pictures in percent, and all epochs."""

    accuracy: float
    history: tuple[Point, ...]


def train(
    student: TorchNetwork,
    lesson: Lesson,
    settings: Settings,
    *,
    stage: str = "train",
    checkpoint: Path | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train ``student`` in place; it is left in eval mode on the CPU.

    Parameters
    ----------
    stage : what the training is called when ``watch`` is told of it.
    checkpoint : a file from which an interrupted training of the same student, lesson and
        settings goes on, to the same bits; written after every epoch and when it is stopped.

    Raises
    ------
    InputError
        The checkpoint is damaged, cannot be written, or belongs to another training; or the loss
        is no number any more.
    TrainingStoppedError
        ``watch`` stopped it; the step was finished and the state saved.
    """
    with deterministic(settings.threads):
        return _Run(student, lesson, settings, stage, watch or Watch()).finish(checkpoint)


@dataclass(slots=True)
class _Sums:
    """Of the batches of an epoch that is under way."""

    losses: dict[str, float] = field(default_factory=dict)
    right: int = 0
    seconds: float = 0.0

    def add(self, losses: dict[str, float], right: int, seconds: float) -> None:
        for name, loss in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + loss
        self.right += right
        self.seconds += seconds


class _Run:
    """A training under way."""

    def __init__(
        self, student: TorchNetwork, lesson: Lesson, settings: Settings, stage: str, watch: Watch
    ) -> None:
        self._student, self._lesson, self._settings = student, lesson, settings
        self._stage, self._watch = stage, watch
        device = best_device()
        self._batches = _batches(lesson, settings, device)
        networks = [student] if lesson.teacher is None else [student, lesson.teacher.network]
        for network in networks:
            network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._expected = lesson.expected()
        self._facts = _facts(student, lesson, settings, self._batches, self._expected)
        self._optimiser = make_optimiser(student, settings)
        self._steps = settings.epochs * self._batches.steps
        self._step = 0
        self._sums = _Sums()
        self._history: list[Point] = []

    def finish(self, path: Path | None) -> Outcome:
        """Do all steps that are left."""
        checkpoint = None if path is None else Checkpoint(path, self._facts)
        if checkpoint is not None and (state := checkpoint.load()) is not None:
            self._restore(state)
        self._watch.begins(
            self._stage, self._settings.epochs, tuple(self._history), resumed=self._step > 0
        )
        self._student.train()
        while self._step < self._steps:
            self._do_step()
            ended = self._step % self._batches.steps == 0
            if ended:
                self._end_epoch()
            stops = self._watch.stops()
            if checkpoint is not None and (ended or stops):
                checkpoint.save(self._state())
            if stops:
                raise TrainingStoppedError(path)
        self._student.eval().cpu()
        return Outcome(self._history[-1].test_accuracy, tuple(self._history))

    def _do_step(self) -> None:
        begin = time.perf_counter()
        x, classes = self._batches.step(*divmod(self._step, self._batches.steps))
        parts, right = self._losses(x, classes)
        loss = torch.stack(list(parts.values())).sum()
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._settings, self._step, self._steps)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        values = {name: part.item() for name, part in parts.items()}
        self._step += 1
        self._sums.add(values, right, time.perf_counter() - begin)
        if not all(map(math.isfinite, values.values())):
            raise InputError(
                f"{self._stage}: at step {self._step} the loss is no number any more; "
                f"train with a --learning-rate below {self._settings.learning_rate:g}"
            )
        self._watch.stepped(self._stage, self._step, self._steps, values)

    def _losses(self, x: Tensor, classes: Tensor | None) -> tuple[dict[str, Tensor], int]:
        """Return the losses of a batch, and how many answers were right."""
        objective, teacher = self._lesson.objective, self._lesson.teacher
        shares = teacher.shares if teacher is not None and objective.features else None
        names = () if shares is None else shares.outputs
        bf16 = self._settings.precision == "bf16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            taught = {} if teacher is None else teacher.values(x)
            made = self._student.values(x, names)
        target = taught[RESULT].argmax(1) if classes is None else classes
        right = int((made[RESULT].argmax(1) == target).sum())
        return losses(objective, made, classes, taught, shares), right

    def _end_epoch(self) -> None:
        steps, sums, settings = self._batches.steps, self._sums, self._settings
        test_accuracy = accuracy(
            self._student, self._lesson.test, self._lesson.preprocess, self._expected
        )
        means = {name: total / steps for name, total in sums.losses.items()}
        ended = Point(
            stage=self._stage,
            epoch=self._step // steps,
            step=self._step,
            loss=sum(means.values()),
            labels=means.get("labels", 0.0),
            logits=means.get("logits", 0.0),
            features=means.get("features", 0.0),
            learning_rate=learning_rate(settings, self._step - 1, self._steps),
            train_accuracy=100.0 * sums.right / len(self._lesson.training),
            test_accuracy=test_accuracy,
            seconds=sums.seconds,
        )
        self._history.append(ended)
        self._sums = _Sums()
        self._watch.epoch_ended(ended)

    def _state(self) -> State:
        return {
            "student": self._student.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._step,
            "sums": asdict(self._sums),
            "history": [asdict(point) for point in self._history],
        }

    def _restore(self, state: State) -> None:
        self._student.load_state_dict(state["student"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step = state["step"]
        self._sums = _Sums(**state["sums"])
        self._history = [Point(**point) for point in state["history"]]


def _batches(lesson: Lesson, settings: Settings, device: torch.device) -> Batches:
    """Return the training pictures, without their classes where no label is to be read."""
    pictures = lesson.training
    if not lesson.objective.labels:
        pictures = Pictures(pictures.pixels, None)
    return batches_of(
        pictures,
        lesson.preprocess,
        settings.batch,
        augment=settings.augment,
        seed=settings.seed,
        device=device,
    )


def _facts(
    student: TorchNetwork,
    lesson: Lesson,
    settings: Settings,
    batches: Batches,
    expected: NDArray[np.int64],
) -> dict[str, str]:
    """Return what decides every bit of a training, as users would name it."""
    teacher = lesson.teacher
    return {
        "version of torch": str(torch.__version__),
        "device": batches.pixels.device.type,
        **fingerprint.of_fields(settings),
        "objective": repr(lesson.objective),
        "preprocessing": repr(lesson.preprocess),
        "data set": fingerprint.of_tensors(batches.pixels, batches.classes),
        "test set": fingerprint.of_tensors(*map(torch.from_numpy, (lesson.test.pixels, expected))),
        "network": fingerprint.of_network(student),
        "teacher": "none" if teacher is None else fingerprint.of_network(teacher.network),
        "share of the teacher": "none" if teacher is None else repr(teacher.shares),
    }
