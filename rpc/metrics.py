"""Statistics for Prometheus: an HTTP endpoint that its server scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from lcp_tvm.errors import InputError
from lcp_tvm.rpc.statistics import Statistics

LATENCY_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Metrics:
    """The metrics of a cluster; `update` adds what has happened since the last time."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._frames = self._counter("frames", "Frames that have ended", ["outcome"])
        self._redone = self._counter("frames_redone", "Frames begun more than once", [])
        self._latency = Histogram(
            "lcp_tvm_frame_latency_seconds",
            "From a frame's submission until its outputs were there",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        device = ["device"]
        self._compute = self._counter("compute_seconds", "Time computing", device)
        self._wait = self._counter("wait_seconds", "Time with a frame but not computing", device)
        self._transfer = self._counter("transfer_seconds", "Time with bytes on the way", device)
        self._sent = self._counter("sent_bytes", "Bytes of tensors sent", device)
        self._received = self._counter("received_bytes", "Bytes of tensors received", device)
        self._tasks = self._counter("tasks", "Tasks computed", device)
        self._stolen = self._counter("tasks_stolen", "Tasks taken from another's queue", device)
        self._fallbacks = self._counter("tasks_without_reuse", "Tasks that fell back", device)
        self._memory = Gauge(
            "lcp_tvm_memory_bytes", "Memory of a node", ["device", "what"], registry=self.registry
        )

    def update(self, statistics: Statistics) -> None:
        """Add what has happened."""
        for frame in statistics.frames:
            self._frames.labels("failed" if frame.reason else "done").inc()
            self._redone.inc(frame.attempts > 1)
            if not frame.reason:
                self._latency.observe(frame.latency_ms / 1e3)
        for use in statistics.uses:
            self._compute.labels(use.device).inc(use.compute_ms / 1e3)
            self._wait.labels(use.device).inc(use.wait_ms / 1e3)
            self._transfer.labels(use.device).inc(use.transfer_ms / 1e3)
            self._sent.labels(use.device).inc(use.sent_bytes)
            self._received.labels(use.device).inc(use.received_bytes)
            self._tasks.labels(use.device).inc(use.tasks)
            self._stolen.labels(use.device).inc(use.stolen)
            self._fallbacks.labels(use.device).inc(use.fallbacks)
        for memory in statistics.memory:
            self._memory.labels(memory.device, "held").set(memory.held)
            self._memory.labels(memory.device, "peak").set(memory.peak)
            self._memory.labels(memory.device, "weights").set(memory.weights)

    @contextmanager
    def served(self, port: int, host: str = "127.0.0.1") -> Iterator[int]:
        """Serve them for the length of a ``with`` statement; yields the port.

        Parameters
        ----------
        port : 0 for one that the system assigns.

        Raises
        ------
        InputError
            The port cannot be had.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise InputError(
                f"--metrics {port}: cannot listen on {host}:{port}: {error.strerror or error}; "
                "choose another port"
            ) from error
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"lcp_tvm_{name}", text, labels, registry=self.registry)
