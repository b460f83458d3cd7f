"""Simulated time, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from simpy import Environment

T = TypeVar("T")


def after(env: Environment, delay_ms: float, call: Callable[[T], None], value: T) -> None:
    """Call a function with a value later; of equal times, what was asked first comes first."""
    callbacks = env.timeout(delay_ms).callbacks
    callbacks.append(lambda _: call(value))
