"""How long predictions take: LCP branches and a head on Raspberry Pi 3s, by policy and size.

    python benchmarks/predict.py > benchmarks/predict.csv

``events`` are messages and calls, which the simulation must have made; ``cpu_ms`` is this
machine's processor time, the least of three.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.plan.plan import Policy  # noqa: E402
from lcp_tvm.predict.cluster import resized  # noqa: E402
from lcp_tvm.predict.cluster_file import load_cluster  # noqa: E402
from lcp_tvm.predict.predict import predict  # noqa: E402
from tests.predict.test_speed import RPI3, branches  # noqa: E402

POLICIES: tuple[Policy, ...] = ("static", "sharing", "stealing")
SIZES = ((8, 5), (29, 5), (32, 1000), (32, 10_000))
"""Devices and frames."""


def measure(policy: Policy, devices: int, frames: int) -> dict[str, object]:
    """One row of the table."""
    plan, cluster = branches(devices), resized(load_cluster(RPI3), devices)
    times = []
    for _ in range(3):
        start = time.process_time()
        found = predict(plan, cluster, frames=frames, policy=policy)
        times.append(time.process_time() - start)
    events = found.messages + frames * len(plan.tasks)
    return {
        "policy": policy,
        "devices": devices,
        "frames": frames,
        "events": events,
        "cpu_ms": round(1e3 * min(times), 1),
        "us_per_event": round(1e6 * min(times) / events, 2),
    }


def main() -> None:
    rows = [measure(policy, *size) for policy in POLICIES for size in SIZES]
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
