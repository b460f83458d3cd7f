"""Train a network as the int8 network that it will be.

    float Relax --quantise--> QDQ Relax --to_torch, train, to_relax--> QDQ Relax

Weights and activations are rounded while it learns, so it learns to do without what rounding takes.
Scales stay the powers of two that calibration found: `compile` takes the result as it is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lcp_tvm.network import Network, Preprocess
from lcp_tvm.quantise import quantise
from lcp_tvm.quantise.calibrate import Array
from lcp_tvm.train.batches import normalise
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.lesson import Lesson
from lcp_tvm.train.loop import Outcome, train
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.torch_network import to_relax, to_torch
from lcp_tvm.train.watch import Watch

CALIBRATION = 128
"""Pictures that scales are chosen with."""

EPOCHS, LEARNING_RATE = 0.25, 0.1
"""Of those that the float network is trained with; it has only to settle on the grid."""


def train_quantised(
    network: Network,
    lesson: Lesson,
    settings: Settings,
    *,
    stage: str = "int8",
    checkpoint: Path | None = None,
    watch: Watch | None = None,
) -> tuple[Network, Outcome]:
    """Quantise a trained float network, and train it on as an int8 network.

    Parameters
    ----------
    lesson : what it learns; scales come from pictures of ``lesson.training``. Features of a
        teacher are left out: `quantise` may give channels inside of a network other scales.
    settings : of the float network's training, from which `settings_of_int8` follow.
    stage, checkpoint, watch : as of `train`.

    Returns
    -------
    The network in QDQ Relax, its variables named as before, and how training ended. Accuracies of
    the outcome are those of rounding in float, `int8.integer_network` has the ones of VTA.

    Raises
    ------
    InputError, TrainingStoppedError
        As `train`.
    ModelError
        Nothing in the network can run on integers.
    """
    quantised = quantise(
        network, calibration(lesson.training, lesson.preprocess, settings.seed)
    ).module
    student = to_torch(quantised)
    outcome = train(
        student,
        replace(lesson, objective=replace(lesson.objective, features=0.0)),
        settings_of_int8(settings),
        stage=stage,
        checkpoint=checkpoint,
        watch=watch,
    )
    return replace(network, module=to_relax(quantised, student)), outcome


def calibration(pictures: Pictures, preprocess: Preprocess, seed: int) -> Array:
    """Return some pictures as the network's input, float32 [n, C, H, W]."""
    rows = np.random.default_rng(seed).permutation(len(pictures))[:CALIBRATION]
    values = normalise(torch.from_numpy(pictures.pixels[rows]), preprocess)
    return np.ascontiguousarray(values.numpy())


def settings_of_int8(settings: Settings) -> Settings:
    """Return gentler settings, in float32: bfloat16 has fewer bits than sums of int8 need."""
    return replace(
        settings,
        epochs=max(1, round(EPOCHS * settings.epochs)),
        learning_rate=LEARNING_RATE * settings.learning_rate,
        precision="float32",
    )
