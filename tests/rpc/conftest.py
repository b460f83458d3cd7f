"""Nodes that pretend, and a look at what they leave behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from tests.plan.plans import branches
from tests.rpc.fake_nodes import FakeCrew
from tests.rpc.pretended import compute


@pytest.fixture
def heeded_ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, even in tests that a shell has started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def crew() -> Iterator[FakeCrew]:
    """Return nodes for two branches; afterwards nothing of them may be left."""
    before = threading.enumerate()
    fake = FakeCrew(branches(2), compute, devices=2)
    yield fake
    assert not fake.is_open
    assert not fake.client.held
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not [name for name in names if name.startswith("lcp-tvm")]
