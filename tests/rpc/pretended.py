"""A cluster of nodes that only pretend, whose functions add up what they read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.settings import Settings
from tests.rpc.fake_nodes import FakeCrew

SOON = Settings(recovery_s=0.1)
TIMEOUT_S = 30.0


def compute(function: str, arguments: Any) -> list[np.ndarray]:
    """Add the arguments up: branches to 8 values each, a head to 10."""
    total = sum(float(argument.sum()) for argument in arguments)
    shape = (1, 10) if function == "head" else (1, 8, 8, 8)
    return [np.full(shape, total, np.float32)]


def compute_tile(function: str, arguments: Any) -> list[np.ndarray]:
    shape = (1, 10) if function == "head" else (1, 16, 8, 8)
    return [np.full(shape, float(arguments[0].sum()), np.float32)]


def picture(value: float = 1.0) -> np.ndarray:
    return np.full((1, 3, 32, 32), value, np.float32)


def score(value: float) -> float:
    """What the head of two branches makes of a picture."""
    return 2 * 512 * 3 * 32 * 32 * value


def scores(outputs: tuple[np.ndarray, ...]) -> float:
    (array,) = outputs
    assert array.shape == (1, 10)
    return float(array[0, 0])


def cluster(crew: FakeCrew, settings: Settings = SOON) -> Cluster:
    return Cluster.on(crew.client.plan, crew.crew(), settings)


def blocking(crew: FakeCrew, settings: Settings = SOON) -> BlockingCluster:
    return BlockingCluster.on(crew.client.plan, crew.crew(), settings)


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)
