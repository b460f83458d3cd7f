"""Losses against the formulas of their sources, in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lcp_tvm.train.losses import Objective, losses
from lcp_tvm.train.shares import Shares

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = RANDOM.normal(0, 3, (2, 5, 4)).astype(np.float32)
FEATURES = RANDOM.normal(1, 2, (5, 6)).astype(np.float32)
BRANCHES = {
    "b0_end": RANDOM.normal(1, 2, (5, 3)).astype(np.float32),
    "b1_end": RANDOM.normal(1, 2, (5, 4)).astype(np.float32),
}
SHARES = Shares("end", ("b0_end", "b1_end"), ((0, 3, 5), (0, 1, 2, 4)))
CLASSES = np.array([3, 0, 2, 2, 1])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def computed(objective: Objective, shares: Shares | None = SHARES) -> dict[str, float]:
    found = losses(
        objective,
        {name: torch.from_numpy(value) for name, value in {**BRANCHES, "": STUDENT}.items()},
        torch.from_numpy(CLASSES) if objective.labels else None,
        {"end": torch.from_numpy(FEATURES), "": torch.from_numpy(TEACHER)},
        shares,
    )
    return {name: loss.item() for name, loss in found.items()}


def test_labels_cost_the_logarithm_of_their_probability() -> None:
    expected = -np.log(softmax(STUDENT)[np.arange(5), CLASSES]).mean()
    assert computed(Objective(labels=2.0)) == {"labels": pytest.approx(2 * expected)}


def test_logits_cost_the_divergence_of_softened_probabilities() -> None:
    p, q = softmax(TEACHER / 3), softmax(STUDENT / 3)
    expected = 9 * (p * np.log(p / q)).sum(1).mean()
    found = computed(Objective(labels=0, logits=0.5, temperature=3.0))
    assert found == {"logits": pytest.approx(0.5 * expected, rel=1e-5)}


def test_features_cost_each_branchs_distance_from_its_share() -> None:
    errors = [
        ((BRANCHES["b0_end"] - FEATURES[:, [0, 3, 5]]) ** 2).mean(),
        ((BRANCHES["b1_end"] - FEATURES[:, [0, 1, 2, 4]]) ** 2).mean(),
    ]
    expected = np.mean(errors) / FEATURES.var(ddof=1)
    found = computed(Objective(labels=0, features=1.0))
    assert found == {"features": pytest.approx(expected, rel=1e-5)}
    assert computed(Objective(labels=0, logits=1, features=1.0), None).keys() == {"logits"}


def test_features_do_not_depend_on_the_teachers_scale() -> None:
    """Features a thousand times as large, the student's too, cost the same."""
    found = losses(
        Objective(labels=0, features=1.0),
        {name: torch.from_numpy(1000 * value) for name, value in {**BRANCHES, "": STUDENT}.items()},
        None,
        {"end": torch.from_numpy(1000 * FEATURES), "": torch.from_numpy(TEACHER)},
        SHARES,
    )
    assert found["features"].item() == pytest.approx(
        computed(Objective(labels=0, features=1.0))["features"], rel=1e-5
    )


def test_features_of_a_dead_teacher_cost_a_number() -> None:
    found = losses(
        Objective(labels=0, features=1.0),
        {"b0_end": torch.zeros(5, 3), "b1_end": torch.zeros(5, 4), "": torch.zeros(5, 4)},
        None,
        {"end": torch.zeros(5, 6), "": torch.zeros(5, 4)},
        SHARES,
    )
    assert found["features"].item() == 0
