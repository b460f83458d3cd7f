"""Paints the picture of a plan with matplotlib, without its global state."""

from __future__ import annotations

import warnings
from math import hypot, sqrt
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Curve

from lcp_tvm.plan.box import hull
from lcp_tvm.plan.draw_groups import TIMES
from lcp_tvm.plan.draw_layout import Card, Picture
from lcp_tvm.plan.draw_wires import Rect, Wire, si
from lcp_tvm.plan.edges import connections, crossings
from lcp_tvm.plan.plan import GATEWAY, Device, Plan

INK, SOFT, LINE = "#1f2933", "#64707d", "#8795a5"
FRAME_FILL, FRAME_LINE = "#f4f6f9", "#d5dce4"
TENSOR_FILL, TENSOR_LINE = "#e6ebf1", "#aab5c1"
GATEWAY_FILL, ANY_FILL, MIXED_FILL = "#4d5b6d", "#ffffff", "#fafbfc"
PALETTE = (
    "#8ab8de", "#f4b873", "#93cf9f", "#ea9c97", "#b9a5e0", "#d9bb92",
    "#f1a9c8", "#cbd873", "#7fd0c6", "#f2db77", "#a8b6f2", "#bcc4cc",
)  # fmt: skip
MARGIN, HEADER, LEGEND_ROW = 0.35, 0.8, 0.25
MIN_WIDTH = 7.0
MAX_LEGEND = 40
LETTER = 0.0086
"""Width of a letter in inches, per point of its size, on average."""


def paint(plan: Plan, picture: Picture, path: Path) -> None:
    """Write a picture, as the path's suffix says; the same picture gives the same file."""
    bounds = picture.bounds()
    width = max(bounds.w, MIN_WIDTH)
    left = bounds.x + bounds.w / 2 - width / 2
    chips = _legend(plan, width)
    legend = LEGEND_ROW * (1 + max((row for row, _, _, _ in chips), default=0))
    top = bounds.y - HEADER
    bottom = bounds.y + bounds.h + 0.3 + legend

    figure = Figure(figsize=(width + 2 * MARGIN, bottom - top + 2 * MARGIN), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left - MARGIN, left + width + MARGIN)
    axes.set_ylim(bottom + MARGIN, top - MARGIN)
    axes.set_axis_off()
    _header(axes, plan, left, top)
    for frame in picture.frames:
        _box(axes, frame, FRAME_FILL, FRAME_LINE, 0.12, zorder=0)
    most = max((wire.nbytes for wire in picture.wires), default=1)
    for wire in picture.wires:
        _wire(axes, wire, most)
    for card in picture.cards:
        _card(axes, card)
    for row, x, fill, label in chips:
        y = bottom - legend + (row + 0.5) * LEGEND_ROW
        if fill is not None:
            _box(axes, Rect(left + x, y - 0.08, 0.16, 0.16), fill, _darker(fill), 0.04, zorder=2)
        _text(axes, left + x + 0.22, y, label, 7.5, SOFT, ha="left")
    with rc_context({"svg.hashsalt": "lcp-tvm"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name: a box stands for it
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _header(axes: Axes, plan: Plan, x: float, y: float) -> None:
    macs = sum(plan.functions[task.function].cost.macs for task in plan.tasks)
    moved = sum(plan.nbytes(edge.region) for edge in crossings(plan))
    facts = [
        _count(len(plan.tasks), "task"),
        _count(plan.devices, "device") + (f" {TIMES} {plan.replicas}" if plan.replicas > 1 else ""),
        si(macs, "MAC"),
        f"{si(moved, 'B')} moved over {_count(connections(plan), 'connection')}",
    ]
    _text(axes, x, y + 0.1, f"{plan.name}  ·  {plan.split}", 14, INK, ha="left", weight="bold")
    _text(axes, x, y + 0.38, "   ·   ".join(facts), 9, SOFT, ha="left")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _wire(axes: Axes, wire: Wire, most: int) -> None:
    """Draw a wire, its area of cross section as its bytes, with a head and perhaps a label."""
    width = 0.7 + 4.3 * sqrt(wire.nbytes / most)
    (x, y), (u, v) = wire.curve[2], wire.curve[3]
    length = hypot(u - x, v - y) or 1.0
    along, across = ((u - x) / length, (v - y) / length), ((y - v) / length, (u - x) / length)
    size = 0.075 + width / 130
    back = (u - along[0] * size, v - along[1] * size)
    curve = Curve(
        [wire.curve[0], wire.curve[1], (x - along[0] * size, y - along[1] * size), back],
        [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
    )
    axes.add_patch(
        PathPatch(curve, fill=False, color=LINE, lw=width, alpha=0.6, capstyle="butt", zorder=1)
    )
    half = size * 0.62
    corners = [
        (back[0] + sign * half * across[0], back[1] + sign * half * across[1]) for sign in (1, -1)
    ]
    axes.add_patch(Polygon([(u, v), *corners], closed=True, color=LINE, lw=0, zorder=1.5))
    if wire.label:
        x, y = wire.at(wire.label_at)
        paper = {
            "boxstyle": "round,pad=0.18",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.85,
        }
        _text(axes, x, y, wire.label, 6.5, SOFT, zorder=4, bbox=paper)


def _card(axes: Axes, card: Card) -> None:
    fill, line, ink = TENSOR_FILL, TENSOR_LINE, INK
    if card.devices:
        fill = _fill(card.devices[0]) if len(card.devices) == 1 else MIXED_FILL
        line = _darker(fill)
        ink = "white" if card.devices == (GATEWAY,) else INK
    at = card.at
    _box(axes, at, fill, line, 0.08 if card.devices else at.h / 2, zorder=2)
    room = int(at.w / (8 * LETTER)) - 2
    x, y = at.x + at.w / 2, at.y + 0.23
    _text(axes, x, y - 0.075, _short(card.label, room), 8, ink, zorder=3)
    _text(axes, x, y + 0.095, _short(card.detail, room + 4), 6.5, ink, alpha=0.75, zorder=3)
    if card.parts:
        _map(axes, card, Rect(at.x + 0.15, at.y + 0.5, at.w - 0.3, at.h - 0.65))


def _map(axes: Axes, card: Card, room: Rect) -> None:
    """Draw what each task writes, as large as there is room for it."""
    (top, bottom), (left, right) = hull(part for part, _ in card.parts)
    scale = min(room.w / (right - left), room.h / (bottom - top))
    x = room.x + (room.w - scale * (right - left)) / 2 - scale * left
    y = room.y + (room.h - scale * (bottom - top)) / 2 - scale * top
    parts = [
        Rectangle((x + scale * p, y + scale * r), scale * (q - p), scale * (s - r))
        for ((r, s), (p, q)), _ in card.parts
    ]
    fills = [_fill(device) for _, device in card.parts]
    thin = 0.6 if len(parts) < 400 else 0.2
    axes.add_collection(
        PatchCollection(parts, facecolors=fills, edgecolors=LINE, linewidths=thin, zorder=3)
    )


def _legend(plan: Plan, width: float) -> list[tuple[int, float, str | None, str]]:
    """Return row, offset, colour and text of the entries of the legend."""
    found = {task.device for task in plan.tasks}
    numbers = sorted(device for device in found if isinstance(device, int))
    entries: list[tuple[str | None, str]] = []
    entries += [(_fill(number), f"device {number}") for number in numbers[:MAX_LEGEND]]
    if len(numbers) > MAX_LEGEND:
        entries.append((None, f"… {len(numbers)} devices"))
    if GATEWAY in found:
        entries.append((_fill(GATEWAY), "gateway"))
    if None in found:
        entries.append((_fill(None), "any device that is free"))
    placed, row, x = [], 0, 0.0
    for fill, label in entries:
        step = 0.22 + len(label) * 7.5 * LETTER + 0.2
        if x > 0 and x + step > width:
            row, x = row + 1, 0.0
        placed.append((row, x, fill, label))
        x += step
    return placed


def _fill(device: Device | None) -> str:
    if device is None:
        return ANY_FILL
    if device == GATEWAY:
        return GATEWAY_FILL
    if device < len(PALETTE):
        return PALETTE[device]
    red, green, blue = hsv_to_rgb((device * 0.618034 % 1, 0.32, 0.9))
    return to_hex((red, green, blue))


def _darker(fill: str) -> str:
    red, green, blue = to_rgb(fill)
    return to_hex((0.68 * red, 0.68 * green, 0.7 * blue))


def _box(axes: Axes, at: Rect, fill: str, line: str, radius: float, zorder: float) -> None:
    style = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch((at.x, at.y), at.w, at.h, style, fc=fill, ec=line, lw=0.9, zorder=zorder)
    )


def _text(axes: Axes, x: float, y: float, text: str, size: float, colour: str, **more: Any) -> None:
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3} | more
    axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, **style)


def _short(text: str, most: int) -> str:
    """Leave out the middle of what is too long."""
    if len(text) <= most:
        return text
    end = most // 2
    return f"{text[: most - end - 1]}…{text[-end:]}"
