"""Batch norm between a layer's product and its bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-5
MOMENTUM = 0.1  # of the running statistics: what a new batch counts


class Norm(nn.Module):
    """``gamma * (x - mean) / sqrt(variance + EPSILON) + bias``, over channels, axis 1.

    While training, mean and variance are the batch's, and running ones are kept for inference.
    """

    gamma: nn.Parameter
    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """A norm that only subtracts the mean: gamma undoes the division."""
        super().__init__()
        self.momentum = MOMENTUM
        self.gamma = nn.Parameter(torch.sqrt(variance + EPSILON))
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(
            x, self.mean, self.variance, self.gamma, bias, self.training, self.momentum, EPSILON
        )

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factor and offset per channel that it is in inference, float64."""
        factor = self.gamma.detach().double() / torch.sqrt(self.variance.double() + EPSILON)
        return factor, -self.mean.double() * factor


def norm_beside(norms: Sequence[Norm], x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Compute norms of equally many channels each, which lie side by side in ``x``."""
    mean, variance = (
        torch.cat([getattr(norm, name) for norm in norms]) for name in ("mean", "variance")
    )
    gamma = torch.cat([norm.gamma for norm in norms])
    training, momentum = norms[0].training, norms[0].momentum
    normed = F.batch_norm(x, mean, variance, gamma, bias, training, momentum, EPSILON)
    if training:
        parts = zip(norms, mean.chunk(len(norms)), variance.chunk(len(norms)), strict=True)
        for norm, own_mean, own_variance in parts:
            norm.mean.copy_(own_mean)
            norm.variance.copy_(own_variance)
    return normed
