"""A prediction as rich tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lcp_tvm.predict.prediction import DeviceUse, Prediction

_MIB = 1 << 20


def render_prediction(prediction: Prediction) -> RenderableType:
    """Return what a frame costs, what each machine does, and whose memory is too small."""
    small = [
        f"[bold red]{escape(device.name)} does not have the memory: it needs "
        f"{_mib(device.memory_bytes)} MiB and has {_mib(device.memory_limit_bytes)}[/bold red]"
        for device in prediction.devices
        if not device.fits
    ]
    return Group(
        f"[bold]{escape(prediction.plan)}[/bold], split {escape(prediction.split)}, on "
        f"{escape(prediction.cluster)}, {prediction.policy}: {_count(prediction.frames, 'frame')}",
        "",
        frames_table(prediction),
        "",
        devices_table(prediction),
        *small,
    )


def frames_table(prediction: Prediction) -> Table:
    """Latency, throughput and traffic."""
    latency = prediction.latency_ms
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {
        "latency, median": f"{latency.p50:,.1f} ms",
        "latency, 95 of 100": f"{latency.p95:,.1f} ms",
        "latency, longest": f"{latency.max:,.1f} ms",
        "frames a second": f"{prediction.frames_per_second:,.3f}",
        "sent a frame": f"{prediction.bytes_per_frame / 1e6:,.3f} MB",
        "MAC a frame": f"{prediction.macs / prediction.frames / 1e6:,.1f} M",
    }
    if prediction.fallbacks:
        rows["tasks without reuse"] = f"{prediction.fallbacks:,}"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def devices_table(prediction: Prediction) -> Table:
    """What every machine does, the gateway last."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("device", "kind"):
        table.add_column(name)
    for name in ("busy ms", "wait ms", "busy", "memory MiB", "of", "MMAC", "sent MB", "received"):
        table.add_column(name, justify="right", no_wrap=True)
    for device in prediction.devices:
        table.add_row(*_cells(device))
    return table


def _cells(device: DeviceUse) -> list[str]:
    memory = _mib(device.memory_bytes)
    return [
        escape(device.name),
        escape(device.kind),
        f"{device.busy_ms:,.1f}",
        f"{device.wait_ms:,.1f}",
        f"{device.utilisation:.1%}",
        memory if device.fits else f"[bold red]{memory} ![/bold red]",
        _mib(device.memory_limit_bytes),
        f"{device.macs / 1e6:,.1f}",
        f"{device.sent_bytes / 1e6:,.3f}",
        f"{device.received_bytes / 1e6:,.3f}",
    ]


def _mib(nbytes: int) -> str:
    return f"{nbytes / _MIB:,.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")
