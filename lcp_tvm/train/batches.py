"""The pictures of each step, as a pure function of seed, epoch and step.

Nothing here remembers anything, so training that stops anywhere goes on with the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lcp_tvm.network import Preprocess
from lcp_tvm.train.data import Pictures

Augment = Literal["none", "shift", "mirror", "shift+mirror"]

VALUES_AT_ONCE = 1 << 21
"""Of pictures that are computed together where nothing is learnt: 13 of 3x224x224."""

MAX_SHIFT = 2
"""Pixels that a picture moves by, up or down, left or right."""


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Pictures in batches of one size, give or take one picture.

    Attributes
    ----------
    pixels : uint8 [N, C, H, W].
    classes : int64 [N], None without labels.
    batch : the most pictures of a step.
    """

    pixels: Tensor
    classes: Tensor | None
    preprocess: Preprocess
    batch: int
    augment: Augment = "none"
    seed: int = 0

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.pixels) // self.batch)

    def order(self, epoch: int) -> Tensor:
        """Return the rows of an epoch in their order, int64 [N]."""
        return torch.randperm(len(self.pixels), generator=_random(self.seed, epoch))

    def step(self, epoch: int, step: int) -> tuple[Tensor, Tensor | None]:
        """Return the input of a step and its classes.

        Returns
        -------
        float32 [n, C, H, W], channels last in memory; int64 [n], None without labels.
        """
        rows = self.order(epoch).tensor_split(self.steps)[step].to(self.pixels.device)
        pixels = augment(self.pixels[rows], self.augment, _random(self.seed, epoch, step))
        classes = None if self.classes is None else self.classes[rows]
        return normalise(pixels, self.preprocess), classes

    def plain(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return a step's input and classes as `step`, in the order of rows and unchanged."""
        rows = slice(step * self.batch, (step + 1) * self.batch)
        classes = None if self.classes is None else self.classes[rows]
        return normalise(self.pixels[rows], self.preprocess), classes


def batches_of(
    pictures: Pictures,
    preprocess: Preprocess,
    batch: int,
    *,
    augment: Augment = "none",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Batches:
    """Put pictures on a device, as batches."""
    classes = None if pictures.classes is None else torch.from_numpy(pictures.classes).to(device)
    pixels = torch.from_numpy(pictures.pixels).to(device)
    return Batches(pixels, classes, preprocess, batch, augment, seed)


def at_once(shape: Sequence[int], most: int) -> int:
    """Return how many pictures [N, C, H, W] to compute together, from 1 to ``most``."""
    return max(1, min(most, VALUES_AT_ONCE // math.prod(shape[1:])))


def augment(pixels: Tensor, kind: Augment, random: torch.Generator) -> Tensor:
    """Move each picture by up to ``MAX_SHIFT`` pixels and mirror half of them.

    What comes in at an edge repeats the pixels there.

    Parameters
    ----------
    pixels : uint8 [n, C, H, W].
    random : on the CPU, so that every device gets the same pictures.
    """
    if kind == "none":
        return pixels
    count, channels, height, width = pixels.shape
    moves = torch.zeros((2, count, 1), dtype=torch.int64)
    if kind.startswith("shift"):
        moves = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2, count, 1), generator=random)
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1)  # [n, H]
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1)  # [n, W]
    if kind.endswith("mirror"):
        mirrored = torch.rand((count, 1), generator=random) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    device = pixels.device
    return pixels[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[:, None, None],
        rows.to(device)[:, None, :, None],
        columns.to(device)[:, None, None, :],
    ]


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the network's input, as `lcp_tvm.pictures.load_picture` computes it.

    Parameters
    ----------
    pixels : uint8 [n, C, H, W].

    Returns
    -------
    float32 [n, C, H, W], channels last in memory.
    """
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
        for values in (preprocess.mean, preprocess.std)
    )
    values = pixels.to(torch.float32, memory_format=torch.channels_last)
    return (values * np.float32(preprocess.scale).item() - mean) / std


def _random(*numbers: int) -> torch.Generator:
    """Return a generator of its own for every row of numbers."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))
