"""Nodes that pretend, and a look at what they leave behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.plan.plans import branches
from tests.rpc.fake_nodes import FakeCrew
from tests.rpc.pretended import compute


@pytest.fixture
def crew() -> Iterator[FakeCrew]:
    """Return nodes for two branches; afterwards nothing of them may be left."""
    fake = FakeCrew(branches(2), compute, devices=2)
    yield fake
    assert not fake.is_open
    assert not fake.client.held
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("lcp-tvm")]
