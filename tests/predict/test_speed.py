"""Predictions are quick enough to be made by the hundred."""

from __future__ import annotations

import time
from pathlib import Path

from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.predict.cluster import resized
from lcp_tvm.predict.cluster_file import load_cluster
from lcp_tvm.predict.predict import predict
from tests.predict.small import plan, region, task

RPI3 = Path(__file__).parents[2] / "examples" / "clusters" / "rpi3.toml"


def branches(count: int) -> Plan:
    """As LCP splits: branches that share nothing but the input, and a head."""
    steps = [
        task(f"b{n}", 10**8, [region("x", 0, 3072)], [region("m", 64 * n, 64 * n + 64)], n)
        for n in range(count)
    ]
    head = task("head", 10**5, [region("m", 0, 64 * count)], [region("y", 0, 10)], GATEWAY)
    return plan(*steps, head, devices=count)


def test_ten_thousand_frames_on_32_devices_take_less_than_30_seconds() -> None:
    cluster = resized(load_cluster(RPI3), 32)
    start = time.process_time()
    found = predict(branches(32), cluster, frames=10_000, in_flight=2)
    assert time.process_time() - start < 30
    # Of every frame, 31 inputs and 31 results are sent.
    assert found.messages == 10_000 * 2 * 31


def test_five_frames_of_thirty_tasks_take_less_than_10_ms() -> None:
    """The best of some tries, as the machine is not ours alone."""
    thirty, cluster = branches(29), resized(load_cluster(RPI3), 29)
    times = []
    for _ in range(10):
        start = time.process_time()
        predict(thirty, cluster, frames=5)
        times.append(time.process_time() - start)
    assert min(times) < 0.010
