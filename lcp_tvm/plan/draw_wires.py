"""The wires of a plan's picture: what flows between the things in it, as curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lcp_tvm.plan.draw_groups import TIMES
from lcp_tvm.plan.edges import Edge
from lcp_tvm.plan.plan import Plan

MAX_LABELS = 12
"""Wires between two levels that still have their labels."""
PORT_GAP = 0.1

Point = tuple[float, float]
_Bezier = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Rect:
    """Left, top, width and height in inches, y downwards."""

    x: float
    y: float
    w: float
    h: float

    @property
    def middle(self) -> Point:
        return self.x + self.w / 2, self.y + self.h / 2

    def moved(self, x: float, y: float) -> Rect:
        """Return the rectangle elsewhere."""
        return replace(self, x=self.x + x, y=self.y + y)

    def side(self, direction: int, y: float) -> Point:
        """Return the point at the right (1) or left (-1) side, so far below the middle."""
        x, middle = self.middle
        return x + direction * self.w / 2, middle + y


@dataclass(frozen=True, slots=True)
class End:
    """Where wires of a task or of a tensor end.

    Attributes
    ----------
    level, row : of what it is in; levels run to the right in even rows, to the left in odd ones.
    outer : of the card, or of the frame around it, where wires to other frames end.
    inner : of the card.
    """

    level: int
    row: int
    outer: Rect
    inner: Rect

    @property
    def direction(self) -> int:
        return -1 if self.row % 2 else 1


@dataclass(frozen=True, slots=True)
class Wire:
    """A Bezier curve of four points, and a label at some part of its length."""

    curve: _Bezier
    nbytes: int
    label: str = ""
    label_at: float = 0.5

    def at(self, t: float) -> Point:
        """Return a point of the curve: its begin at 0, its end at 1."""
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        x, y = (
            sum(w * point[axis] for w, point in zip(weights, self.curve, strict=True))
            for axis in (0, 1)
        )
        return x, y


@dataclass(frozen=True, slots=True)
class _Flow:
    """Edges between two ends."""

    source: End
    target: End
    inside: bool
    sizes: tuple[int, ...]

    @property
    def is_arch(self) -> bool:
        """Whether it goes over levels between its own, in the same row."""
        same_row = self.source.row == self.target.row
        return same_row and self.target.level > self.source.level + 1

    @property
    def label(self) -> str:
        times = f"{len(self.sizes)} {TIMES} " if len(self.sizes) > 1 else ""
        if len(set(self.sizes)) > 1:
            return f"{si(sum(self.sizes), 'B')} in {len(self.sizes)}"
        return times + si(self.sizes[0], "B")


def si(number: float, unit: str) -> str:
    """Return a number in thousands, millions and so on: ``1.23 MB``."""
    for prefix in ("", "k", "M", "G", "T"):
        if number < 999.5 or prefix == "T":
            break
        number /= 1000
    return f"{number:.3g} {prefix}{unit}"


def input_key(name: str) -> str:
    """Return what stands for an input among the ends; tasks stand for themselves."""
    return f"input\n{name}"


def output_key(name: str) -> str:
    """Return what stands for an output among the ends."""
    return f"output\n{name}"


def wires_between(plan: Plan, edges: Iterable[Edge], ends: Mapping[str, End]) -> tuple[Wire, ...]:
    """Return a wire for every two ends between which data flows."""
    flows = _flows(plan, edges, ends)
    crowd: dict[tuple[int, int], int] = {}
    for flow in flows:
        if not flow.inside:
            crowd[_levels(flow)] = crowd.get(_levels(flow), 0) + 1
    leaving = _ports(flows, lambda flow: flow.source, lambda flow: flow.target)
    coming = _ports(flows, lambda flow: flow.target, lambda flow: flow.source)
    wires = []
    for number, flow in enumerate(flows):
        out, into = leaving.get(number, (0.0, 0)), coming.get(number, (0.0, 0))
        if flow.inside:
            curve = _straight(flow.source.inner, flow.target.inner)
        elif flow.is_arch:
            curve = _arch(flow, ends.values())
        else:
            curve = _curve(flow, out[0], into[0])
        most = 0 if flow.inside else MAX_LABELS if flow.source.row == flow.target.row else 1
        label = flow.label if crowd.get(_levels(flow), 1) <= most else ""
        at = 0.5 if out[1] == into[1] else 0.72 if out[1] > into[1] else 0.28
        wires.append(Wire(curve, sum(flow.sizes), label, at))
    return tuple(wires)


def _flows(plan: Plan, edges: Iterable[Edge], ends: Mapping[str, End]) -> list[_Flow]:
    found: dict[tuple[Rect, Rect], tuple[End, End, bool, list[int]]] = {}
    for edge in edges:
        source = ends[edge.producer or input_key(edge.region.tensor)]
        target = ends[edge.consumer or output_key(edge.region.tensor)]
        inside = source.outer == target.outer
        if inside and source.inner == target.inner:
            continue
        between = (source.inner, target.inner) if inside else (source.outer, target.outer)
        sizes = found.setdefault(between, (source, target, inside, []))[3]
        sizes.append(plan.nbytes(edge.region))
    return [
        _Flow(source, target, inside, tuple(sizes))
        for source, target, inside, sizes in found.values()
    ]


def _levels(flow: _Flow) -> tuple[int, int]:
    return flow.source.level, flow.target.level


def _ports(
    flows: Sequence[_Flow], own: Callable[[_Flow], End], other: Callable[[_Flow], End]
) -> dict[int, tuple[float, int]]:
    """Return, for every wire, how far from a side's middle it ends, and how many end there."""
    at: dict[Rect, list[int]] = {}
    for number, flow in enumerate(flows):
        if not flow.inside and not flow.is_arch:
            at.setdefault(own(flow).outer, []).append(number)
    ports = {}
    for rect, numbers in at.items():
        numbers.sort(key=lambda number: other(flows[number]).outer.middle[1])
        gap = min(PORT_GAP, 0.7 * rect.h / len(numbers))
        for place, number in enumerate(numbers):
            ports[number] = ((place - (len(numbers) - 1) / 2) * gap, len(numbers))
    return ports


def _straight(source: Rect, target: Rect) -> _Bezier:
    """Return the line between two cards of a grid, from side to side."""
    (x, y), (u, v) = source.middle, target.middle
    if abs(u - x) >= abs(v - y):
        sign = 1 if u > x else -1
        begin, end = source.side(sign, 0), target.side(-sign, 0)
    else:
        sign = 1 if v > y else -1
        begin, end = (x, y + sign * source.h / 2), (u, v - sign * target.h / 2)
    (x, y), (u, v) = begin, end
    return begin, (x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end


def _curve(flow: _Flow, leaves: float, comes: float) -> _Bezier:
    """Return a curve from the side of one to that of the other, so far below their middles."""
    out, into = flow.source.direction, -flow.target.direction
    x, y = flow.source.outer.side(out, leaves)
    u, v = flow.target.outer.side(into, comes)
    reach = max(0.5, abs(u - x) / 2)
    return (x, y), (x + out * reach, y), (u + into * reach, v), (u, v)


def _arch(flow: _Flow, ends: Iterable[End]) -> _Bezier:
    """Return a curve from top to top, over all that stands between."""
    levels = range(flow.source.level, flow.target.level + 1)
    top = min(end.outer.y for end in ends if end.level in levels)
    x = flow.source.outer.middle[0] + flow.source.direction * flow.source.outer.w / 4
    u = flow.target.outer.middle[0] - flow.source.direction * flow.target.outer.w / 4
    y, v = flow.source.outer.y, flow.target.outer.y
    # in its middle, a Bezier curve is three quarters of the way to its handles
    handle = (top - 0.22 - (y + v) / 8) / 0.75
    return (x, y), (x + (u - x) / 8, handle), (u - (u - x) / 8, handle), (u, v)
