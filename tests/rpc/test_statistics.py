"""From nodes' counters to tables, JSON, timelines and metrics."""

from __future__ import annotations

import json
import socket
import urllib.request
from typing import Any

import pytest
from rich.console import Console

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.predict.trace import Span
from lcp_tvm.rpc.metrics import Metrics
from lcp_tvm.rpc.statistics import (
    Clocks,
    Ended,
    FrameUse,
    Memory,
    Names,
    Statistics,
    joined,
    read_counters,
    statistics_json,
    timeline,
)
from lcp_tvm.rpc.statistics_text import render_statistics

NAMES = Names(("edge-0", "edge-1", "client"), ("tile_0", "tile_1"))
CLOCKS = Clocks(2)
MB = 1_000_000


def counters(**values: Any) -> dict[str, Any]:
    empty = {"frames": [], "links": [], "clocks": [], "spans": []}
    return empty | {"held_bytes": 1, "peak_bytes": 2, "weight_bytes": 3, "late_ns": 0} | values


def some() -> Statistics:
    return Statistics(
        frames=(Ended(0, 20.0, 1), Ended(2, 40.0, 2), Ended(3, 9.0, 1, "edge-1: it is lost")),
        uses=(
            FrameUse(0, "edge-0", 12.0, 6.0, 3.0, MB, 2 * MB, 2, 1, 0),
            FrameUse(2, "edge-0", 18.0, 0.0, 0.0, 2 * MB, MB, 1, 0, 1),
            FrameUse(2, "edge-1", 3.0, 9.0, 6.0, 0, 0, 1, 0, 0),
        ),
        memory=(Memory("edge-0", 0, 3 << 20, 1 << 20), Memory("edge-1", 0, 1 << 20, 0)),
    )


def test_what_a_device_did_for_a_frame() -> None:
    """It waits while it has the frame and does not compute."""
    row = [7, 1_000_000, 11_000_000, 4_000_000, 2_500_000, 100, 200, 3, 1, 1]
    found = read_counters(NAMES, [], {1: counters(frames=[row]), 2: counters()}, CLOCKS)
    assert found.uses == (FrameUse(7, "edge-1", 4.0, 6.0, 2.5, 100, 200, 3, 1, 1),)
    assert found.memory == (Memory("edge-1", 1, 2, 3),)


def test_the_latest_call_of_all_nodes_counts() -> None:
    late = {0: counters(late_ns=2_000_000), 1: counters(late_ns=500_000), 2: counters()}
    found = read_counters(NAMES, [], late, CLOCKS)
    assert found.late_ms == 2.0
    assert joined([found, some()]).late_ms == 2.0


def test_a_node_of_several_cores_computes_longer_than_it_has_the_frame() -> None:
    row = [7, 0, 10_000_000, 18_000_000, 0, 0, 0, 3, 0, 0]
    found = read_counters(NAMES, [], {0: counters(frames=[row]), 2: counters()}, CLOCKS)
    assert found.uses[0].wait_ms == 0.0


def test_spans_are_told_in_the_clients_time() -> None:
    """edge-1's clock is 5 us ahead, as the client has found out; edge-0's seems to be 2 us late."""
    clocks = Clocks(2)
    clocks.guess(0, now_ns=10_000, asked_ns=11_000, answered_ns=13_000)
    clocks.guess(1, now_ns=10_000, asked_ns=11_000, answered_ns=13_000)
    clocks.tell([[1, 5_000, 80]])
    spans = [
        ["compute", 0, 1, -1, 6_000, 9_000, 0],
        ["send", 0, 1, 0, 9_000, 10_000, 64],
        ["receive", 0, -1, 2, 5_000, 6_000, 32],
    ]
    sent = ["send", 0, -1, 1, 0, 500, 32]
    found = read_counters(
        NAMES,
        [],
        {0: counters(spans=spans[:1]), 1: counters(spans=spans), 2: counters(spans=[sent])},
        clocks,
    )
    assert found.spans == (
        Span("edge-0", "compute", "tile_1", 8.0, 3.0, {"frame": 0}),
        Span("edge-1", "compute", "tile_1", 1.0, 3.0, {"frame": 0}),
        Span("edge-1", "send", "tile_1 to edge-0", 4.0, 1.0, {"frame": 0, "bytes": 64}),
        Span("edge-1", "receive", "frame from client", 0.0, 1.0, {"frame": 0, "bytes": 32}),
        Span("client", "send", "frame to edge-1", 0.0, 0.5, {"frame": 0, "bytes": 32}),
    )
    assert timeline(found.spans[:1])[0].start_us == 0.0


@pytest.mark.parametrize("row", [[1, 2], ["a"] * 10, 7])
def test_counters_that_are_none(row: Any) -> None:
    with pytest.raises(WorkerError, match="counters are not understood"):
        read_counters(NAMES, [], {0: counters(frames=[row]), 2: counters()}, CLOCKS)


def test_stretches_of_time_are_joined() -> None:
    later = Statistics(frames=(Ended(4, 1.0, 1),), memory=(Memory("edge-0", 0, 9, 1),))
    found = joined([some(), later])
    assert len(found.frames) == 4
    assert found.memory == (later.memory[0], some().memory[1])


def test_frames_of_which_nodes_have_not_told_all_tasks() -> None:
    """Failed ones do not count."""
    assert some().holds_all(2)
    assert not some().holds_all(3)
    assert Statistics().holds_all(3)


def test_the_table() -> None:
    console = Console(width=110, highlight=False)
    with console.capture() as capture:
        console.print(render_statistics(some(), elapsed_s=0.5))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines == [
        "frames                     2",
        "latency, median     20.00 ms",
        "latency, 95 of 100  40.00 ms",
        "latency, longest    40.00 ms",
        "frames a second        4.000",
        "begun again                1",
        "failed                     1",
        "",
        "a frame  compute ms  wait ms  transfer ms  sent MB  received MB  tasks  stolen  peak MiB",
        "edge-0        10.00     2.00         1.00    1.000        1.000    1.0     0.3       4.0",
        "edge-1         1.00     3.00         2.00    0.000        0.000    0.3     0.0       1.0",
    ]


def test_json() -> None:
    found = json.loads(json.dumps(statistics_json(some())))
    assert found["latency_ms"]["p50"] == 20.0
    assert (found["failed"], found["redone"]) == (1, 1)
    assert found["frames"][2]["reason"] == "edge-1: it is lost"
    assert found["uses"][1]["fallbacks"] == 1
    assert statistics_json(Statistics())["latency_ms"] is None


def test_metrics_add_up_and_are_served() -> None:
    metrics = Metrics()
    metrics.update(some())
    metrics.update(some())
    near = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not through http_proxy
    with (
        metrics.served(0) as port,
        near.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
    ):
        lines = answer.read().decode().splitlines()
    for line in (
        'lcp_tvm_frames_total{outcome="done"} 4.0',
        'lcp_tvm_frames_total{outcome="failed"} 2.0',
        "lcp_tvm_frames_redone_total 2.0",
        "lcp_tvm_frame_latency_seconds_count 4.0",
        'lcp_tvm_compute_seconds_total{device="edge-0"} 0.06',
        'lcp_tvm_sent_bytes_total{device="edge-0"} 6e+06',
        'lcp_tvm_memory_bytes{device="edge-0",what="peak"} 3.145728e+06',
    ):
        assert line in lines


def test_metrics_on_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"),
            Metrics().served(port),
        ):
            pass
