"""What the layers of a package reach of what their VTA can do, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lcp_tvm.errors import InputError
from lcp_tvm.report import LayerCost, Report
from lcp_tvm.vta.bound import Roof

NAMED = 20
"""So many dots have a name, the slowest."""

LONGEST_NAME = 26
"""Characters; longer names are cut."""

_LARGEST, _SMALLEST = 900.0, 12.0
"""Square points of a dot that takes all the time, and of one that takes next to none."""

_COLOURS = {
    "GEMM": "#2f6f9f",
    "ALU": "#c0792a",
    "weight port": "#7a4fa3",
    "input port": "#3a8f5c",
    "output port": "#8fbf6f",
    "rows": "#b8433a",
    "instructions": "#7d7d7d",
}
_APART = 0.02
"""Layers that are nearer to each other would hide one another; as a ratio, less one."""

_ROOF_STYLES = ("-", "--", ":", "-.")
_TOP = 0.92
"""The upper edge of the axes and of the names."""

_DISTANCES = (2, 9, 16, 24)
"""Points between a dot and its number."""

_DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (-1, -1), (0, -1), (1, 1), (-1, 1), (0, 1))


@dataclass(frozen=True, slots=True)
class Dot:
    """Layers that do the same work as fast: multiply-accumulates a byte, 1e9 of them a second."""

    names: tuple[str, ...]
    intensity: float
    gmac_s: float
    share: float
    bound_by: str

    @property
    def label(self) -> str:
        """The first name, and how many there are beside it."""
        more = f" +{len(self.names) - 1}" if len(self.names) > 1 else ""
        room, name = LONGEST_NAME - len(more), self.names[0]
        return (name if len(name) <= room else name[: room - 1] + "…") + more


def dots_of(layers: Sequence[LayerCost]) -> list[Dot]:
    """Return the dots, those that take the most time first; layers without products have none."""
    whole = sum(layer.ms for layer in layers)
    alike: dict[tuple[object, ...], list[LayerCost]] = {}
    for layer in layers:
        if layer.macs and layer.ms and layer.dma_bytes:
            place = layer.macs / layer.dma_bytes, layer.macs / layer.ms
            key = *np.round(np.log(place) / _APART), layer.bound_by
            alike.setdefault(key, []).append(layer)
    dots = [
        Dot(
            tuple(layer.name for layer in group),
            sum(layer.macs for layer in group) / sum(layer.dma_bytes for layer in group),
            sum(layer.macs for layer in group) / sum(layer.ms for layer in group) / 1e6,
            sum(layer.ms for layer in group) / whole,
            group[0].bound_by,
        )
        for group in alike.values()
    ]
    return sorted(dots, key=lambda dot: -dot.share)


def plot_roofline(report: Report, path: Path) -> None:
    """Draw the layers under the roof of the array and the slopes of the two load ports.

    A dot's area is its share of the time, its colour what took the most of it. Every config in
    the package has its own lines. Layers on small maps may be above the array's: products with
    padding count as work and are never computed.

    Parameters
    ----------
    path : its suffix says the format, .png, .svg or .pdf.

    Raises
    ------
    InputError
        No layer with multiply-accumulates is on a VTA, or the path cannot be written.
    """
    dots = dots_of(report.layers)
    if not dots:
        raise InputError(
            f"{report.name}: no layer with multiply-accumulates runs on a VTA; "
            "compile the network with --target vta for a roofline"
        )
    figure = Figure(figsize=(12, 7), dpi=150)
    renderer: RendererAgg = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    axes = figure.add_axes((0.06, 0.085, 0.70, _TOP - 0.085))
    drawn = sum(dot.share for dot in dots)
    rest = f"; {1 - drawn:.1%} in layers without multiply-accumulates" if drawn < 0.9995 else ""
    total = sum(layer.ms for layer in report.layers)
    figure.suptitle(f"{report.name} on {report.config}: {total:.2f} ms, simulated{rest}")
    _set_axes(axes, dots, report.roofs)
    for roof, style in zip(report.roofs, _ROOF_STYLES * len(report.roofs), strict=False):
        _draw_roof(axes, roof, style)
    for dot in dots:
        axes.scatter(
            dot.intensity,
            dot.gmac_s,
            s=_area(dot),
            color=_COLOURS[dot.bound_by],
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
        )
    _number_dots(axes, dots, renderer)
    _list_dots(figure, dots)
    _draw_legend(axes, dots)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _set_axes(axes: Axes, dots: Sequence[Dot], roofs: Sequence[Roof]) -> None:
    across = [dot.intensity for dot in dots]
    across += [roof.gmac_s / roof.weight_gb_s for roof in roofs]
    up = [dot.gmac_s for dot in dots]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(across) / 1.6, max(across) * 2.5)
    axes.set_ylim(min(up) / 1.6, max(*up, *(roof.gmac_s for roof in roofs)) * 1.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("multiply-accumulates per byte of DRAM traffic")
    axes.set_ylabel("GMAC/s")
    axes.grid(which="both", color="#e6e6e6", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_roof(axes: Axes, roof: Roof, style: str) -> None:
    left, right = axes.get_xlim()
    line: dict[str, Any] = {"color": "#404040", "linewidth": 1.2, "linestyle": style, "zorder": 2}
    ridge = roof.gmac_s / roof.input_gb_s
    axes.plot([ridge, right], [roof.gmac_s] * 2, **line)
    text: dict[str, Any] = {"fontsize": 9, "color": "#404040", "ha": "right", "va": "bottom"}
    axes.text(right, roof.gmac_s, f"{roof.config}: array, {roof.gmac_s:.1f} GMAC/s", **text)
    for name, slope in (("input", roof.input_gb_s), ("weight", roof.weight_gb_s)):
        top = roof.gmac_s / slope
        axes.plot([left, top], [slope * left, roof.gmac_s], **line)
        bottom = max(slope * left, axes.get_ylim()[0])
        middle = float(np.sqrt(bottom * roof.gmac_s))
        ends = axes.transData.transform([(bottom / slope, bottom), (top, roof.gmac_s)])
        angle = float(np.degrees(np.arctan2(*(ends[1] - ends[0])[::-1])))
        axes.text(
            *(middle / slope, middle),
            f"{name} port, {slope:.3g} GB/s",
            **(text | {"ha": "center"}),
            rotation=angle,
            rotation_mode="anchor",
        )


def _number_dots(axes: Axes, dots: Sequence[Dot], renderer: RendererAgg) -> None:
    """Number dots in order, each where the number hides no other and no dot."""
    points = renderer.dpi / 72  # pixels of one
    taken = [text.get_window_extent(renderer) for text in axes.texts]
    for dot in dots:
        middle = axes.transData.transform((dot.intensity, dot.gmac_s))
        taken.append(Bbox([middle - _radius(dot) * points, middle + _radius(dot) * points]))
    for number, dot in enumerate(dots[:NAMED], 1):
        for away, (across, up) in product(_DISTANCES, _DIRECTIONS):
            text = axes.annotate(
                str(number),
                (dot.intensity, dot.gmac_s),
                (across * (_radius(dot) + away), up * (_radius(dot) + away)),
                textcoords="offset points",
                ha=("right", "center", "left")[across + 1],
                va=("top", "center", "bottom")[up + 1],
                arrowprops={"arrowstyle": "-", "color": "#909090", "linewidth": 0.6},
                fontsize=9,
            )
            text.update_positions(renderer)
            extent = Text.get_window_extent(text, renderer)  # without the line to the dot
            if not extent.count_overlaps(taken):
                taken.append(extent)
                break
            text.remove()


def _list_dots(figure: Figure, dots: Sequence[Dot]) -> None:
    """Name the numbers beside the axes."""
    style: dict[str, Any] = {"fontsize": 9, "va": "top"}
    figure.text(0.985, _TOP + 0.032, "of the time", ha="right", **style)
    for row, dot in enumerate(dots[:NAMED]):
        up = _TOP - 0.032 * row
        figure.text(0.79, up, str(row + 1), ha="right", **style)
        figure.text(0.80, up, dot.label, ha="left", **style)
        figure.text(0.985, up, f"{dot.share:.1%}", ha="right", **style)


def _radius(dot: Dot) -> float:
    """Points."""
    return float(np.sqrt(_area(dot) / np.pi))


def _area(dot: Dot) -> float:
    """Square points."""
    return max(_LARGEST * dot.share, _SMALLEST)


def _draw_legend(axes: Axes, dots: Sequence[Dot]) -> None:
    limits = {dot.bound_by: None for dot in dots}
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in _COLOURS.items()
        if name in limits
    ]
    axes.legend(
        handles=handles,
        title="area: time taken\ncolour: most cycles in",
        loc="lower right",
        frameon=True,
    )
