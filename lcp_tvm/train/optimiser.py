"""The optimiser, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from lcp_tvm.train.settings import Settings

BETAS = (0.9, 0.99)
"""LCP, section 4.1."""

WARM_UP = 0.25
"""Share of the steps in which the rate rises."""

FIRST = 1 / 25
"""Of the highest rate, in the first step."""


def make_optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Return AdamW that decays weights of layers, and neither biases nor norms."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS, fused=True)


def learning_rate(settings: Settings, step: int, steps: int) -> float:
    """Return the rate of step ``step`` of ``steps``: half a cosine up, half a cosine down to 0.

    One cycle, as Smith and Topin: Super-convergence, very fast training of neural networks using
    large learning rates.
    """
    rise = WARM_UP * steps
    if step < rise:
        share = FIRST + (1 - FIRST) * _ease(step / rise)
    else:
        share = _ease((steps - step) / (steps - rise))
    return settings.learning_rate * share


def _ease(place: float) -> float:
    """Go from 0 to 1 as half a cosine."""
    return (1 - math.cos(math.pi * place)) / 2
