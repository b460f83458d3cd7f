"""What is measured of frames, and how it is shown beside a prediction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from rich.console import Console

from lcp_tvm.errors import InputError
from lcp_tvm.plan.plan import Tensor
from lcp_tvm.predict.predict import predict
from lcp_tvm.rpc.bench import Bench, Load, Measured, measure, random_inputs
from lcp_tvm.rpc.bench_text import bench_json, bench_table
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.inputs import Array, Kept
from lcp_tvm.rpc.statistics import FrameUse, Statistics
from tests.predict.small import cluster, plan, region, task

PLAN = plan(task("t", 8, [region("x", 0, 64)], [region("y", 0, 64)]))


class Orchestrator:
    """Stands for a cluster: takes frames' sources down, and lets others run before it answers."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def keep(self, name: str, arrays: Sequence[Array], *, source: int) -> None:
        self.log.append(f"keep {name} {len(arrays)} {source}")

    async def infer(self, x: Kept, *, source: int) -> tuple[()]:
        self.log.append(f"begin {x.name} {source}")
        await asyncio.sleep(0)
        self.log.append(f"end {source}")
        return ()

    async def stats(self) -> Statistics:
        self.log.append("stats")
        return Statistics()


def test_frames_come_in_turn_when_one_is_done() -> None:
    """The first frame is not counted, nor what nodes did for it."""
    orchestrator = Orchestrator()
    load = Load(frames=4, sources=(0, 1), in_flight=2)
    found = asyncio.run(measure(cast(Cluster, orchestrator), [], load))
    assert orchestrator.log == [
        "keep camera 0 0", "keep camera 0 1",
        "begin camera 0", "end 0", "stats",
        "begin camera 0", "begin camera 1", "end 0", "begin camera 0", "end 1", "begin camera 1",
        "end 0", "end 1", "stats",
    ]  # fmt: skip
    assert len(found.latencies_ms) == 4
    assert found.makespan_ms >= max(found.latencies_ms) > 0


def test_a_load_is_the_clusters_unless_told() -> None:
    where = cluster(4, sources=(1, 3))
    assert Load.of(5, None, None, where) == Load(5, (1, 3), 2)
    assert Load.of(5, 3, None, where) == Load(5, (0, 1, 2), 3)
    assert Load.of(5, None, 7, where) == Load(5, (1, 3), 7)
    assert Load.of(5, None, None, None) == Load(5, (0,), 1)
    with pytest.raises(InputError, match="5 sources, and cluster test has 4 devices"):
        Load.of(5, 5, None, where)


def measured() -> Measured:
    uses = (
        FrameUse(0, "d0", 8.0, 0.0, 1.0, 1_000_000, 0, 1, 0, 0),
        FrameUse(1, "d0", 8.0, 0.0, 1.0, 3_000_000, 0, 1, 0, 1),
    )
    return Measured((9.0, 11.0), 20.0, Statistics(uses=uses))


def text(bench: Bench) -> list[str]:
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        console.print(bench_table(bench))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_figures_side_by_side() -> None:
    predicted = predict(PLAN, cluster(1), frames=2)
    assert text(Bench(measured(), predicted, "emulated", "")) == [
        "                     emulated  predicted  ratio",
        "latency, median        9.0 ms     8.0 ms  1.125",
        "latency, 95 of 100    11.0 ms     8.0 ms  1.375",
        "latency, longest      11.0 ms     8.0 ms  1.375",
        "frames a second       100.000    125.000  0.800",
        "sent a frame         2.000 MB   0.000 MB",
        "tasks without reuse         1          0",
    ]


def test_figures_of_unknown_boards_stand_alone() -> None:
    assert text(Bench(measured(), None, "measured", ""))[:2] == [
        "                     measured",
        "latency, median        9.0 ms",
    ]


def test_json_has_both() -> None:
    predicted = predict(PLAN, cluster(1), frames=2)
    found = bench_json(Bench(measured(), predicted, "emulated", "as slow as a board"))
    assert found["conditions"] == "as slow as a board"
    assert found["emulated"]["latency_ms"]["max"] == 11.0
    assert found["emulated"]["fallbacks"] == 1
    assert found["predicted"]["latency_ms"]["max"] == 8.0
    assert bench_json(Bench(measured(), None, "measured", ""))["predicted"] is None


@pytest.mark.parametrize(("dtype", "spread"), [("uint8", 73.9), ("float32", 1.0)])
def test_random_inputs_are_of_the_plans_type(dtype: str, spread: float) -> None:
    image = Tensor((1, 3, 64, 64), dtype)
    (found,) = random_inputs(replace(PLAN, tensors={**PLAN.tensors, "x": image}))
    assert (found.shape, str(found.dtype)) == ((1, 3, 64, 64), dtype)
    assert float(np.std(found)) == pytest.approx(spread, rel=0.05)
