"""What changes a fingerprint, and what does not."""

from __future__ import annotations

import torch

from lcp_tvm.train import fingerprint
from lcp_tvm.train.settings import Settings
from tests.train.tiny import TinyNetwork


def test_values_types_shapes_and_order_count() -> None:
    a, b = torch.arange(6), torch.arange(6, 12)
    different = [(a, b), (b, a), (a,), (a, None), (None, a), (a.float(), b), (a.view(2, 3), b)]
    assert len({fingerprint.of_tensors(*tensors) for tensors in different}) == len(different)


def test_the_order_in_memory_does_not_count() -> None:
    a = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    last = a.to(memory_format=torch.channels_last)
    assert fingerprint.of_tensors(a) == fingerprint.of_tensors(last)


def test_a_network_is_known_by_weights_and_statistics() -> None:
    first, second = TinyNetwork(1), TinyNetwork(1)
    assert fingerprint.of_network(first) == fingerprint.of_network(second)
    second(torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert fingerprint.of_network(first) == fingerprint.of_network(second)
    second.train()(torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert fingerprint.of_network(first) != fingerprint.of_network(second)


def test_settings_are_named_as_users_know_them() -> None:
    facts = fingerprint.of_fields(Settings(epochs=3, learning_rate=0.5))
    assert (facts["epochs"], facts["learning rate"]) == ("3", "0.5")
