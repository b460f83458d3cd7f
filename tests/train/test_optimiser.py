"""What decays, and how the learning rate rises and falls."""

from __future__ import annotations

import pytest

from lcp_tvm.train.optimiser import BETAS, FIRST, WARM_UP, learning_rate, make_optimiser
from lcp_tvm.train.settings import Settings
from tests.train.tiny import TinyNetwork

SETTINGS = Settings(learning_rate=0.1)


def test_the_rate_rises_to_its_highest_and_falls_to_nothing() -> None:
    rates = [learning_rate(SETTINGS, step, 100) for step in range(100)]
    top = int(100 * WARM_UP)
    assert rates[0] == pytest.approx(0.1 * FIRST)
    assert rates[top] == pytest.approx(0.1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_shortest_training_has_a_rate_in_every_step(steps: int) -> None:
    rates = [learning_rate(SETTINGS, step, steps) for step in range(steps)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    network = TinyNetwork(1)
    optimiser = make_optimiser(network, SETTINGS)
    decays = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert {name: decays[id(p)] for name, p in network.named_parameters()} == {
        name: SETTINGS.weight_decay if name in WEIGHTS else 0.0
        for name, _ in network.named_parameters()
    }
    assert {group["betas"] for group in optimiser.param_groups} == {BETAS}


WEIGHTS = {"branches.b0_relu.0.weight", "branches.b1_relu.0.weight", "dense.weight"}
