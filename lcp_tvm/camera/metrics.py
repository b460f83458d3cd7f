"""The state of a live camera for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lcp_tvm.camera.controls import State
from lcp_tvm.rpc.frames import NodeState


class _StateMetrics(Collector):
    def __init__(self, state: State, watching: int) -> None:
        self._state = state
        self._watching = watching

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the state."""
        yield from _of_camera(self._state, self._watching)
        yield from _of_boards(self._state)


def render_metrics(state: State, watching: int) -> bytes:
    """Return a state in Prometheus' text format.

    Parameters
    ----------
    watching : how many pages are open.
    """
    registry = CollectorRegistry()
    registry.register(_StateMetrics(state, watching))
    return generate_latest(registry)


def _of_camera(state: State, watching: int) -> Iterator[Metric]:
    frames = CounterMetricFamily("lcp_tvm_camera_frames", "Frames by outcome", labels=["outcome"])
    for outcome in ("answered", "dropped", "late", "failed"):
        frames.add_metric([outcome], getattr(state, outcome))
    yield frames
    yield _gauge("frames_per_second", "Answers, over the last seconds", state.frames_per_s)
    latency = GaugeMetricFamily(
        "lcp_tvm_camera_latency_seconds", "From capture to answer", labels=["quantile"]
    )
    latency.add_metric(["0.5"], state.latency_p50_ms / 1e3)
    latency.add_metric(["0.95"], state.latency_p95_ms / 1e3)
    yield latency
    yield _gauge("infer_seconds", "Of that, in the cluster", state.infer_p50_ms / 1e3)
    yield _gauge("paused", "1 while no frames are computed", state.paused)
    yield _gauge("source_lost", "1 while no frames come", bool(state.source_lost))
    yield _gauge("watching", "Pages that are open", watching)


def _of_boards(state: State) -> Iterator[Metric]:
    working = GaugeMetricFamily(
        "lcp_tvm_camera_board_state", "1 for the state a board is in", labels=["board", "state"]
    )
    times = GaugeMetricFamily(
        "lcp_tvm_camera_board_seconds", "Time a frame takes a board", labels=["board", "what"]
    )
    sent = GaugeMetricFamily(
        "lcp_tvm_camera_board_bytes_per_frame", "Bytes that came and went", labels=["board"]
    )
    memory = GaugeMetricFamily(
        "lcp_tvm_camera_board_memory_bytes", "Memory that a board holds", labels=["board"]
    )
    for board in state.boards:
        for name in get_args(NodeState):
            working.add_metric([board.name, name], board.state == name)
        for what in ("compute", "transfer", "wait"):
            times.add_metric([board.name, what], getattr(board, f"{what}_ms") / 1e3)
        sent.add_metric([board.name], board.bytes_per_frame)
        memory.add_metric([board.name], board.memory_bytes)
    yield from (working, times, sent, memory)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lcp_tvm_camera_{name}", text, value=value)
