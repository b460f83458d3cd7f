"""From a network to a trained LCP network: LCP, Figure 7, then pruning and integers.

    split --> train --> measure --within max_drop--> prune, train --> quantise, train --> network
      ^                    |
      +-- fatten by 10 % <-+

Every training is a stage with a checkpoint of its own, so that the flow goes on where it was
stopped by running it again: stages that are done only give their result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tvm
from torch import Tensor

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.network import Network
from lcp_tvm.quantise import is_qdq
from lcp_tvm.relay_passes.lcp_branches import LcpNetwork, split_lcp_network
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.prune_channels import prune_channels
from lcp_tvm.relay_passes.split_whole import split_whole
from lcp_tvm.split_text import Lcp
from lcp_tvm.splitting import check_divisible, count_branches, lcp_text
from lcp_tvm.train.accuracy import accuracy
from lcp_tvm.train.batches import batches_of
from lcp_tvm.train.curves import Point
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.determinism import deterministic
from lcp_tvm.train.int8 import integer_network
from lcp_tvm.train.lesson import Lesson
from lcp_tvm.train.loop import Outcome, train
from lcp_tvm.train.losses import Objective, Teacher
from lcp_tvm.train.norms import add_norms, reset
from lcp_tvm.train.qat import train_quantised
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.shares import Shares, shares_of
from lcp_tvm.train.torch_network import TorchNetwork, to_relax, to_torch
from lcp_tvm.train.watch import Watch

FATTEN_STEP = 10
"""Percent; F of LCP, section 4.1."""

NORM_PICTURES = 1024
"""From which norms take their first statistics."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of a network.

    Attributes
    ----------
    branches : of the LCP network; None leaves the network whole.
    fatten : percent; None tries 0, 10, 20, ... until the accuracy is back.
    max_drop : points of accuracy that may be lost before branches are fattened.
    max_fatten : percent.
    labels : whether labels are learnt; without, a teacher is.
    temperature : by which a teacher's answers are softened.
    from_scratch : whether training begins with random weights, as LCP's, instead of the
        original's most important channels.
    prune : share of each layer's weights that is removed after training.
    qat : whether the network is quantised, and trained as such.
    """

    branches: int | None
    fatten: float | None = None
    max_drop: float = 3.0
    max_fatten: float = 40.0
    labels: bool = False
    temperature: float = 4.0
    from_scratch: bool = False
    prune: float = 0.0
    qat: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A network on the way, as the summary shows it.

    Attributes
    ----------
    name : "original", "lcp:2+10%", "pruned 45 %", "int8".
    accuracy : percent of the test pictures that are answered right; without labels, as the
        teacher answers them.
    parameters : weights and biases.
    macs : multiply-accumulates of one picture.
    seconds : of training.
    """

    name: str
    accuracy: float
    parameters: int
    macs: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Trained:
    """The trained network, the stages on the way to it, and all epochs."""

    network: Network
    stages: tuple[Stage, ...]
    history: tuple[Point, ...]


def train_network(
    network: Network,
    recipe: Recipe,
    training: Pictures,
    test: Pictures,
    settings: Settings,
    *,
    teacher: Network | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Follow the recipe.

    Parameters
    ----------
    network : the original, a classifier in float.
    training, test : pictures; their classes are looked at with ``recipe.labels`` alone.
    teacher : whose answers are learnt. None with labels: nobody's; without: the original's.
    folder : of checkpoints, from which an interrupted flow goes on; None keeps none.

    Raises
    ------
    InputError
        There is nothing to learn from, the teacher sees other pictures or has other labels, a
        checkpoint is of another training, or what is to be fattened has its branches, or what is
        to be pruned or quantised is quantised already.
    ModelError
        There is no layer to be trained.
    PlanError
        The network cannot be divided or pruned so.
    TrainingStoppedError
        ``watch`` stopped it.
    """
    check_lesson(network, recipe, teacher)
    if not recipe.labels:
        training, test = Pictures(training.pixels, None), Pictures(test.pixels, None)
        teacher = teacher or network
    with deterministic(settings.threads):
        flow = _Flow(network, recipe, training, test, settings, teacher, folder, watch or Watch())
        return flow.follow()


def check_lesson(network: Network, recipe: Recipe, teacher: Network | None) -> None:
    """Refuse what teaches nothing, and a teacher who would see or answer otherwise.

    Raises
    ------
    InputError
        As `train_network`, which checks it too.
    """
    if is_qdq(network.module) and (recipe.prune or recipe.qat):
        raise InputError(
            f"{network.name} is quantised already; give the float model, or train this one as it "
            f"is, without --prune and --qat"
        )
    found = count_branches(network)
    is_whole = recipe.branches in (None, found)
    if is_whole and not (recipe.labels or teacher or recipe.prune or recipe.qat):
        what = "" if recipe.branches is None else f", which has {found} branches already"
        raise InputError(
            f"{network.name}{what}: it would learn its own answers; give --labels or a --teacher"
        )
    if recipe.branches is not None and is_whole and recipe.fatten:
        raise InputError(
            f"{network.name}: has {found} branches already, which stay as wide as they are; "
            f"fatten when the original is split"
        )
    if teacher is None:
        return
    if teacher.preprocess != network.preprocess:
        raise InputError(
            f"{teacher.name}: the teacher wants other pictures ({teacher.preprocess}) than the "
            f"model ({network.preprocess}); give one --preprocess for both"
        )
    if teacher.labels and network.labels and teacher.labels != network.labels:
        raise InputError(f"{teacher.name}: the teacher's labels are others than the model's")


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """What a stage made: a network, and what its branches stand for in the teacher."""

    name: str
    module: tvm.IRModule
    shares: Shares | None
    accuracy: float


@dataclass(slots=True)
class _Flow:
    """A recipe being followed."""

    network: Network
    recipe: Recipe
    training: Pictures
    test: Pictures
    settings: Settings
    teacher: Network | None
    folder: Path | None
    watch: Watch
    stages: list[Stage] = field(default_factory=list)
    history: list[Point] = field(default_factory=list)
    _messages: list[str] = field(default_factory=list)

    def follow(self) -> Trained:
        """Do the stages in turn."""
        made = self._restored()
        if made.name != self.stages[-1].name:
            self._messages.append(f"{made.name} is the most accurate, so it is what goes on")
        if self.recipe.prune:
            made = self._pruned(made)
        network = replace(self.network, module=made.module)
        if self.recipe.qat:
            network = self._quantised(network)
            made = replace(made, accuracy=self.stages[-1].accuracy)
        messages = (*network.messages, *self._messages, *self._lost(made.accuracy))
        return Trained(replace(network, messages=messages), tuple(self.stages), tuple(self.history))

    def _lost(self, accurate: float) -> Iterator[str]:
        """Say if more was lost than the recipe allows."""
        drop = self.stages[0].accuracy - accurate
        if drop > self.recipe.max_drop:
            yield (
                f"{drop:.1f} points of accuracy are lost, more than the {self.recipe.max_drop:g} "
                f"allowed; train for more epochs, with more pictures, or with fatter branches"
            )

    def _restored(self) -> _Made:
        """Split, train, and fatten until the accuracy is back, or take the most accurate."""
        original = to_torch(self.network.module).eval()
        if not original.layers:
            raise ModelError(f"{self.network.name}: no convolution or dense layer to be trained")
        expected = self._lesson(None).expected()
        accurate = accuracy(original, self.test, self.network.preprocess, expected)
        self._note("original", self.network.module, accurate, 0.0)
        made = _Made("original", self.network.module, None, accurate)
        if self._is_whole():
            if self._only_refined():
                return made
            return self._trained(made.module, self._beginner(made.module), None, "train")
        tried = []
        for split, name in self._splits():
            shares = self._shares(split)
            tried.append(self._trained(split.module, self._beginner(split.module), shares, name))
            if accurate - tried[-1].accuracy <= self.recipe.max_drop:
                return tried[-1]
        return max(tried, key=lambda made: made.accuracy)

    def _is_whole(self) -> bool:
        """Say whether nothing is to be divided, or it has been."""
        found = count_branches(self.network)
        return self.recipe.branches is None or self.recipe.branches == found

    def _only_refined(self) -> bool:
        """Say whether the model is taken as trained already, to be pruned or quantised."""
        return bool(self.recipe.prune or self.recipe.qat) and not self.recipe.from_scratch

    def _splits(self) -> Iterator[tuple[LcpNetwork, str]]:
        """Give narrow branches, then fatter ones; percents that change no width are left out."""
        recipe, branches, before = self.recipe, self.recipe.branches, None
        assert branches is not None
        check_divisible(self.network, Lcp(branches, recipe.fatten or 0))
        steps = np.arange(0, recipe.max_fatten + 1e-6, FATTEN_STEP).tolist()
        for fatten in steps if recipe.fatten is None else [recipe.fatten]:
            split = split_lcp_network(self.network.module, branches, fatten=fatten)
            if split.widths != before:
                yield split, lcp_text(branches, fatten)
            before = split.widths

    def _shares(self, split: LcpNetwork) -> Shares | None:
        """Return what the branches learn of the teacher, where it has the original's features."""
        if self.teacher is None:
            return None
        features, taught = (
            [node.shape for node in read_graph(network.module).nodes if node.name == split.origin]
            for network in (self.network, self.teacher)
        )
        return shares_of(split) if features == taught else None

    def _pruned(self, made: _Made) -> _Made:
        """Remove channels and train what is left."""
        pruned = prune_channels(made.module, self.recipe.prune)
        shares = None
        if made.shares is not None:
            left = [pruned.kept[name].tolist() for name in made.shares.outputs]
            shares = made.shares.narrowed(left)
        name = f"pruned {100 * self.recipe.prune:g} %"
        return self._trained(pruned.module, self._student(pruned.module), shares, name)

    def _quantised(self, network: Network) -> Network:
        """Make int8 numbers of the weights and train with them; measured as VTA computes."""
        lesson, name = self._lesson(None), "int8"
        quantised, outcome = train_quantised(
            network,
            lesson,
            self.settings,
            stage=name,
            checkpoint=self._checkpoint(name),
            watch=self.watch,
        )
        accurate = accuracy(
            integer_network(quantised.module), self.test, network.preprocess, lesson.expected()
        )
        self._finished(name, network.module, accurate, outcome)
        return quantised

    def _student(self, module: tvm.IRModule) -> TorchNetwork:
        """Return a network to be trained, which computes what it did."""
        student = to_torch(module)
        if not is_qdq(module):
            add_norms(student, self._first_pictures())
        return student

    def _first_pictures(self) -> Tensor:
        """Return those that norms take their first statistics from, as the network's input."""
        pictures = Pictures(self.training.pixels, None)
        batches = batches_of(
            pictures, self.network.preprocess, NORM_PICTURES, seed=self.settings.seed
        )
        return batches.step(0, 0)[0]

    def _beginner(self, module: tvm.IRModule) -> TorchNetwork:
        """Return a network that learns from scratch where the recipe says so."""
        student = self._student(module)
        if self.recipe.from_scratch:
            reset(student, self.settings.seed, self._first_pictures())
        return student

    def _trained(
        self, module: tvm.IRModule, student: TorchNetwork, shares: Shares | None, name: str
    ) -> _Made:
        """Train the torch form of a network as a stage."""
        outcome = train(
            student,
            self._lesson(shares),
            self.settings,
            stage=name,
            checkpoint=self._checkpoint(name),
            watch=self.watch,
        )
        made = _Made(name, to_relax(module, student), shares, outcome.accuracy)
        self._finished(name, made.module, outcome.accuracy, outcome)
        return made

    def _lesson(self, shares: Shares | None) -> Lesson:
        """Return what a student with these shares learns."""
        teacher = None
        if self.teacher is not None:
            teacher = Teacher(to_torch(self.teacher.module).eval(), shares)
        objective = Objective(
            labels=float(self.recipe.labels),
            logits=float(teacher is not None),
            features=float(shares is not None),
            temperature=self.recipe.temperature,
        )
        return Lesson(self.training, self.test, self.network.preprocess, objective, teacher)

    def _checkpoint(self, name: str) -> Path | None:
        file = re.sub(r"[^a-z0-9]+", "-", name).strip("-") + ".pt"
        return None if self.folder is None else self.folder / file

    def _finished(self, name: str, module: tvm.IRModule, accurate: float, outcome: Outcome) -> None:
        self.history += outcome.history
        self._note(name, module, accurate, sum(point.seconds for point in outcome.history))

    def _note(self, name: str, module: tvm.IRModule, accurate: float, seconds: float) -> None:
        macs = split_whole(read_graph(module), name).plan.functions["network"].cost.macs
        parameters = sum(parameter.numel() for parameter in to_torch(module).parameters())
        self.stages.append(Stage(name, accurate, parameters, macs, seconds))
