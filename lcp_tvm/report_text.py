"""A report as rich tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lcp_tvm.manifest import Noise, Piece
from lcp_tvm.report import Buffer, LayerCost, Report, Total
from lcp_tvm.report_plan import PlanCost

SHOWN_OPERATORS = 3
SHOWN_FILES = 4
_UNITS = ("B", "KiB", "MiB", "GiB")


def render_report(report: Report) -> RenderableType:
    """Return all tables of a report, those that are empty left out."""
    parts: list[RenderableType] = [_heading(report), ""]
    if report.plan.tasks > 1:
        parts += [functions_table(report.plan), "", devices_table(report.plan), ""]
    parts.append(pieces_table(report.pieces))
    parts += reasons_lines(report.reasons)
    if report.layers and report.total:
        parts += ["", layers_table(report.layers, report.total, report.clock_mhz)]
    compared = [layer for layer in report.layers if layer.arm_ms is not None]
    if compared:
        parts += ["", arm_table(compared)]
    if report.buffers:
        parts += ["", buffers_table(report.buffers)]
    if report.noise:
        parts += ["", noise_table(report.noise)]
    return Group(*parts)


def functions_table(plan: PlanCost, most: int | None = None) -> Table:
    """What a call of each function takes, or of the first ``most``."""
    shown = plan.functions[:most]
    title = f"Functions of split {plan.split}"
    if len(shown) < len(plan.functions):
        title += f" (the first {len(shown)} of {len(plan.functions)})"
    headings = ("MMAC", "in", "out", "weights", "activations", "VTA ms")
    table = _table(title, "function", "tasks", "device", *headings, numbers=6)
    for row in shown:
        sizes = (row.bytes_in, row.bytes_out, row.weight_bytes, row.peak_bytes)
        table.add_row(
            *(escape(row.name), str(row.tasks), row.devices, f"{row.macs / 1e6:.2f}"),
            *map(size_text, sizes),
            _ms_text(row.vta_ms),
        )
    return table


def devices_table(plan: PlanCost) -> Table:
    """What a frame takes of each device, and of all."""
    title = f"Devices of split {plan.split}"
    if plan.replicas > 1:
        title += f", {plan.replicas} times"
    headings = ("MMAC", "received", "sent", "memory", "VTA ms")
    table = _table(title, "device", "tasks", *headings, numbers=5)
    for row in plan.by_device:
        sizes = (row.bytes_in, row.bytes_out, row.memory_bytes)
        table.add_row(
            *(row.device, str(row.tasks), f"{row.macs / 1e6:.2f}"),
            *map(size_text, sizes),
            _ms_text(row.vta_ms),
        )
    table.add_section()
    sums = (f"{plan.macs / 1e6:.2f}", size_text(plan.moved_bytes), "", "", _ms_text(plan.vta_ms))
    table.add_row("all", str(plan.tasks), *sums)
    return table


def _ms_text(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.3f}"


def pieces_table(pieces: Sequence[Piece]) -> Table:
    """What runs where, and why; long lists of operators are cut."""
    table = _table("What runs where", "piece", "device", "operators", "why")
    for piece in pieces:
        names = ", ".join(piece.operators[:SHOWN_OPERATORS])
        rest = len(piece.operators) - SHOWN_OPERATORS
        listed = f"{len(piece.operators)}: {names}" + (f" and {rest} more" if rest > 0 else "")
        table.add_row(*map(escape, (piece.name, piece.device, listed, piece.reason)))
    return table


def reasons_lines(reasons: Iterable[str]) -> list[RenderableType]:
    """One line per operator that is not on the VTA."""
    return [Text(f"on the CPU: {reason}") for reason in reasons]


def layers_table(layers: Sequence[LayerCost], total: Total, clock_mhz: int | None) -> Table:
    """What each layer costs on the VTA, and all of them."""
    several = len({layer.program for layer in layers}) > 1
    table = _table(
        f"Simulated at {clock_mhz} MHz" if clock_mhz is not None else "Simulated",
        *(("program",) if several else ()),
        "layer",
        "kind",
        "limited by",
        *("MMAC", "cycles", "load", "compute", "store", "ms", "of array", "of bound"),
        numbers=8,
    )
    for layer in layers:
        cycles = (layer.cycles, layer.load, layer.compute, layer.store)
        table.add_row(
            *((escape(layer.program),) if several else ()),
            escape(layer.name),
            escape(layer.kind),
            layer.bound_by,
            f"{layer.macs / 1e6:.2f}",
            *(f"{value:,.0f}" for value in cycles),
            f"{layer.ms:.3f}",
            f"{layer.gemm_share:.1%}" if layer.macs else "-",
            f"{layer.bound / layer.cycles:.0%}" if layer.cycles else "-",
        )
    table.add_section()
    label = f"{total.programs} program" + ("s" if total.programs != 1 else "")
    table.add_row(
        *(("",) if several else ()),
        *("total", label, "", f"{total.macs / 1e6:.2f}", f"{total.cycles:,.0f}", "", "", ""),
        f"{total.ms:.3f}",
        f"{total.gemm_share:.1%}",
        f"{total.bound / total.cycles:.0%}" if total.cycles else "-",
    )
    return table


def arm_table(layers: Sequence[LayerCost]) -> Table:
    """What layers take on the VTA, and would take on the board's ARM core."""
    table = _table("Group convolutions", "layer", "VTA ms", "ARM ms, modelled", numbers=2)
    for layer in layers:
        table.add_row(escape(layer.name), f"{layer.ms:.3f}", _ms_text(layer.arm_ms))
    return table


def buffers_table(buffers: Sequence[Buffer]) -> Table:
    """The memory map, by address."""
    table = _table("Memory map", "program", "buffer", "type", "address", "size", numbers=2)
    for buffer in buffers:
        names = map(escape, (buffer.program, buffer.name, buffer.dtype))
        table.add_row(*names, f"{buffer.address:#010x}", f"{buffer.size:,} B")
    return table


def noise_table(noise: Sequence[Noise], worst: int | None = None) -> Table:
    """Signal over noise of every quantised tensor, or of the ``worst`` so many."""
    title, rows = "Signal over quantisation noise", list(noise)
    if worst is not None and len(rows) > worst:
        rows = sorted(rows, key=lambda row: row.snr_db)[:worst]
        title += f" (the worst {worst} of {len(noise)})"
    headings = ("fraction bits in", "weights", "out", "dB")
    table = _table(title, "layer", "operator", *headings, numbers=4)
    for row in rows:
        bits = (row.input_bits, row.weight_bits, row.output_bits)
        table.add_row(
            *(escape(row.name), escape(row.op)),
            *("-" if value is None else str(value) for value in bits),
            f"{row.snr_db:.1f}" if math.isfinite(row.snr_db) else "exact",
        )
    return table


def size_text(size: int) -> str:
    """Return a size in bytes with a unit, e.g. ``1.4 MiB``."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} B"


def _heading(report: Report) -> Text:
    shape = "x".join(map(str, report.input_shape))
    files = ", ".join(f"{name} {size_text(size)}" for name, size in report.files.items())
    if len(report.files) > SHOWN_FILES:
        files = f"{len(report.files)} files of {size_text(sum(report.files.values()))}"
    made = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    text = f"{report.name} for {report.target}: input {report.input_name} {shape}"
    if report.plan.batch > 1:
        text += f", {report.plan.batch} frames together"
    if report.classes:
        text += f", {report.classes} {'class' if report.classes == 1 else 'classes'}"
    return Text(f"{text}\n{files}; made by {made}")


def _table(title: str, *headings: str, numbers: int = 0) -> Table:
    """Return an empty table; the last ``numbers`` columns hold numbers."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        if index >= len(headings) - numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold")
    return table
