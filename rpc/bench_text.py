"""What was measured, beside what was predicted, as a rich table and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lcp_tvm.predict.prediction import Prediction, prediction_json
from lcp_tvm.rpc.bench import Bench, Measured
from lcp_tvm.rpc.statistics import statistics_json

Figure = Callable[[Measured | Prediction], float]

FIGURES: tuple[tuple[str, Figure, str], ...] = (
    ("latency, median", lambda found: found.latency_ms.p50, "{:,.1f} ms"),
    ("latency, 95 of 100", lambda found: found.latency_ms.p95, "{:,.1f} ms"),
    ("latency, longest", lambda found: found.latency_ms.max, "{:,.1f} ms"),
    ("frames a second", lambda found: found.frames_per_second, "{:,.3f}"),
    ("sent a frame", lambda found: found.bytes_per_frame / 1e6, "{:,.3f} MB"),
    ("tasks without reuse", lambda found: found.fallbacks, "{:,.0f}"),
)
"""What is printed: its name, where it is, and how."""


def bench_table(bench: Bench) -> Table:
    """Return figures side by side."""
    predicted = bench.predicted
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column()
    for name in (bench.kind, *(("predicted", "ratio") if predicted is not None else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for name, figure, form in FIGURES:
        found = figure(bench.measured)
        cells = [name, form.format(found)]
        if predicted is not None:
            expected = figure(predicted)
            cells += [form.format(expected), f"{found / expected:.3f}" if expected else ""]
        table.add_row(*cells)
    return table


def bench_json(bench: Bench) -> dict[str, Any]:
    """Return figures as JSON values."""
    measured, predicted = bench.measured, bench.predicted
    return {
        "conditions": bench.conditions,
        bench.kind: {
            "frames": len(measured.latencies_ms),
            "makespan_ms": measured.makespan_ms,
            "latency_ms": asdict(measured.latency_ms),
            "frames_per_second": measured.frames_per_second,
            "bytes_per_frame": measured.bytes_per_frame,
            "fallbacks": measured.fallbacks,
            "statistics": statistics_json(measured.statistics),
        },
        "predicted": None if predicted is None else prediction_json(predicted),
    }
