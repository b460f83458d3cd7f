"""Statistics as rich tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lcp_tvm.rpc.statistics import FrameUse, Memory, Statistics

_MIB = 1 << 20


def render_statistics(statistics: Statistics, elapsed_s: float) -> RenderableType:
    """Return what frames took, and what every device did for one of them on average.

    Parameters
    ----------
    elapsed_s : from the first frame's submission until the last one's end.
    """
    return Group(frames_table(statistics, elapsed_s), "", devices_table(statistics))


def frames_table(statistics: Statistics, elapsed_s: float) -> Table:
    """Latency, throughput, and frames that met a fault."""
    done = len(statistics.frames) - statistics.failed
    rows = {"frames": f"{done:,}"}
    latency = statistics.latency_ms
    if latency is not None:
        rows |= {
            "latency, median": f"{latency.p50:,.2f} ms",
            "latency, 95 of 100": f"{latency.p95:,.2f} ms",
            "latency, longest": f"{latency.max:,.2f} ms",
            "frames a second": f"{done / elapsed_s:,.3f}",
        }
    if statistics.redone:
        rows["begun again"] = f"{statistics.redone:,}"
    if statistics.failed:
        rows["failed"] = f"{statistics.failed:,}"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def devices_table(statistics: Statistics) -> Table:
    """What every device did, by frame, the gateway last."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("a frame")
    titles = ("compute ms", "wait ms", "transfer ms", "sent MB", "received MB", "tasks", "stolen")
    for title in (*titles, "peak MiB"):
        table.add_column(title, justify="right", no_wrap=True)
    frames = len(statistics.frames) or 1
    for memory in statistics.memory:
        uses = [use for use in statistics.uses if use.device == memory.device]
        table.add_row(*_cells(memory, uses, frames))
    return table


def _cells(memory: Memory, uses: list[FrameUse], frames: int) -> list[str]:
    return [
        escape(memory.device),
        f"{sum(use.compute_ms for use in uses) / frames:,.2f}",
        f"{sum(use.wait_ms for use in uses) / frames:,.2f}",
        f"{sum(use.transfer_ms for use in uses) / frames:,.2f}",
        f"{sum(use.sent_bytes for use in uses) / frames / 1e6:,.3f}",
        f"{sum(use.received_bytes for use in uses) / frames / 1e6:,.3f}",
        f"{sum(use.tasks for use in uses) / frames:,.1f}",
        f"{sum(use.stolen for use in uses) / frames:,.1f}",
        f"{(memory.peak + memory.weights) / _MIB:,.1f}",
    ]
