"""What training makes small: cross-entropy on labels, distance from a teacher, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lcp_tvm.train.shares import Shares
from lcp_tvm.train.torch_network import TorchNetwork

RESULT = ""
"""What `TorchNetwork.values` calls the network's result."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of losses; a weight of 0 leaves the loss out.

    Attributes
    ----------
    labels : weight of the cross-entropy; without it no label is read.
    logits : weight of the divergence from the teacher's class probabilities, both softened by
        ``temperature`` (Hinton, Vinyals and Dean: Distilling the knowledge in a neural network).
    features : weight of the squared distance of each branch's pre-final activations from its
        share of the teacher's, in units of their variance.
    """

    labels: float = 1.0
    logits: float = 0.0
    features: float = 0.0
    temperature: float = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A trained network whose answers the student learns; ``shares`` None for logits alone."""

    network: TorchNetwork
    shares: Shares | None

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return its result and features for a batch, in one pass without gradients."""
        names = [] if self.shares is None else [self.shares.origin]
        with torch.no_grad():
            return self.network.values(x, names)


def losses(
    objective: Objective,
    student: Mapping[str, Tensor],
    classes: Tensor | None,
    teacher: Mapping[str, Tensor],
    shares: Shares | None,
) -> dict[str, Tensor]:
    """Return each loss of a batch, weighted; their sum is what the step makes smaller.

    Parameters
    ----------
    student, teacher : values by variable, the result under ``RESULT``, as `TorchNetwork.values`.
    classes : int64 [n], where the objective has labels.
    """
    logits = student[RESULT].float()
    found = {}
    if objective.labels:
        assert classes is not None
        found["labels"] = objective.labels * functional.cross_entropy(logits, classes)
    if objective.logits:
        divergence = _divergence(logits, teacher[RESULT].float(), objective.temperature)
        found["logits"] = objective.logits * divergence
    if objective.features and shares is not None:
        found["features"] = objective.features * _distance(student, teacher, shares)
    return found


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return KL(teacher || student) of softened probabilities, with gradients as at T = 1."""
    log_probabilities = functional.log_softmax(student / temperature, dim=1)
    target = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(
        log_probabilities, target, reduction="batchmean", log_target=True
    )
    return divergence * temperature**2


def _distance(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], shares: Shares
) -> Tensor:
    """Return the mean over branches of squared error / variance."""
    features = teacher[shares.origin].float()
    variance = features.var().clamp_min(1e-12)
    errors = [
        functional.mse_loss(student[output].float(), features[:, list(kept)])
        for output, kept in zip(shares.outputs, shares.kept, strict=True)
    ]
    return torch.stack(errors).mean() / variance
