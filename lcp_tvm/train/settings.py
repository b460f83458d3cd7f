"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lcp_tvm.train.batches import Augment

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one training; the same settings, data and network give the same bits.

    Attributes
    ----------
    epochs : how often every picture is seen; LCP trains for 12 at least.
    batch : pictures of a step.
    learning_rate : the highest, which one-cycle training reaches after the first quarter.
    weight_decay : of weights alone; biases and norms have none.
    seed : of the pictures' order and of what is done to them.
    augment : what may be done to a picture before it is shown.
    precision : of products; "bf16" computes them in bfloat16 and keeps weights in float32.
    threads : of the CPU; sums depend on it in their last bits.
    """

    epochs: int = 12
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 5e-4
    seed: int = 0
    augment: Augment = "shift"
    precision: Precision = "float32"
    threads: int = 1
