"""A comparison of splits as a picture: a row of bars for every split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lcp_tvm.compare import Row

_OUTLIER = 4
"""Bars end at so many times the median, so that one bad split does not flatten the others."""

_PLAIN, _BEST, _UNFIT = "#9db4c8", "#2f6f9f", "#e0b4a8"


def plot_rows(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw latency, throughput, traffic and memory of every split, the best of each in dark.

    Parameters
    ----------
    path : its suffix says the format, .png, .svg or .pdf.
    """
    figure = Figure(figsize=(12, 1.6 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    figure.suptitle(title)
    _bars(axes[0], rows, [row.latency_ms for row in rows], "latency, ms", largest=False)
    _bars(axes[1], rows, [row.frames_per_second for row in rows], "frames per second", largest=True)
    _bars(axes[2], rows, [row.megabytes for row in rows], "sent per frame, MB", largest=False)
    _bars(axes[3], rows, [row.memory_mib for row in rows], "largest device, MiB", largest=False)
    axes[0].set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _label(row: Row) -> str:
    notes = [row.policy] if row.policy != "static" else []
    notes += ["retrain"] if row.retrain else []
    notes += [] if row.fits else ["too large"]
    return row.split + (f"  ({', '.join(notes)})" if notes else "")


def _bars(
    axes: Axes, rows: Sequence[Row], values: Sequence[float], what: str, *, largest: bool
) -> None:
    fitting = [value for value, row in zip(values, rows, strict=True) if row.fits]
    best = (max if largest else min)(fitting, default=None)
    colours = [
        _UNFIT if not row.fits else _BEST if value == best else _PLAIN
        for value, row in zip(values, rows, strict=True)
    ]
    limit = _OUTLIER * median(values) or max(values)
    bars = axes.barh(range(len(rows)), [min(value, limit) for value in values], color=colours)
    labels = [_number(value) + (" →" if value > limit else "") for value in values]
    axes.bar_label(bars, labels=labels, padding=3, fontsize=8)
    axes.set_xlabel(what)
    axes.margins(x=0.3, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
