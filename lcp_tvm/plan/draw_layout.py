"""Where the parts of a plan's picture lie.

Levels stand side by side; many of them run in rows like a snake, there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from math import ceil

from lcp_tvm.plan.box import Box
from lcp_tvm.plan.draw_groups import TIMES, Group, group_tasks, label_of, map_of
from lcp_tvm.plan.draw_wires import (
    End,
    Point,
    Rect,
    Wire,
    input_key,
    output_key,
    si,
    wires_between,
)
from lcp_tvm.plan.edges import edges
from lcp_tvm.plan.plan import Device, Plan

CARD = (1.32, 0.46)
TILE = (1.06, 0.46)
MAP_CARD = (1.7, 1.85)
GAP = 0.16
WIDE_GAP = 0.3
"""Between cards of a grid that give each other data: room for an arrow."""
PADDING = 0.16
"""Between a frame and its cards."""
LEVEL_GAP = 1.15
ROW_GAP = 0.6
MAX_WIDTH = 16.0
MAX_CROWDED_WIDTH = 28.0
"""Where many wires would have to turn from a row to the next."""


@dataclass(frozen=True, slots=True)
class Card:
    """A task, tasks that are alike, or a tensor that the frame brings or that leaves.

    Attributes
    ----------
    devices : of the tasks, each once; none for a tensor.
    parts : of tasks that are alike, the parts of a map that they write, and on which device.
    """

    at: Rect
    label: str
    detail: str
    devices: tuple[Device | None, ...] = ()
    parts: tuple[tuple[Box, Device | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn; a frame is around the cards of a grid."""

    cards: tuple[Card, ...]
    frames: tuple[Rect, ...]
    wires: tuple[Wire, ...]

    def bounds(self) -> Rect:
        """Return the smallest rectangle around everything."""
        points = [wire.at(part / 8) for wire in self.wires for part in range(9)]
        for rect in (*self.frames, *(card.at for card in self.cards)):
            points += [(rect.x, rect.y), (rect.x + rect.w, rect.y + rect.h)]
        (left, top), (right, bottom) = (
            (pick(x for x, _ in points), pick(y for _, y in points)) for pick in (min, max)
        )
        return Rect(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class _Block:
    """What stands in a level as a whole: cards, and the keys of the ends that each stands for.

    ``framed``: wires from outside end at a frame around the cards.
    """

    size: tuple[float, float]
    cards: tuple[tuple[Card, tuple[str, ...]], ...]
    framed: bool = False


_Level = Sequence[_Block]


def lay_out(plan: Plan) -> Picture:
    """Return the picture of a plan."""
    flow = edges(plan)
    levels: list[_Level] = [[_tensor(plan, name, input_key(name)) for name in plan.inputs]]
    for _, groups in groupby(group_tasks(plan, flow), key=lambda group: group.level):
        levels.append([_block(plan, group) for group in groups])
    levels.append([_tensor(plan, name, output_key(name)) for name in dict.fromkeys(plan.outputs)])
    levels = [level for level in levels if level]

    cards: list[Card] = []
    frames: list[Rect] = []
    ends: dict[str, End] = {}
    for number, (level, (row, (x, y))) in enumerate(zip(levels, _places(levels), strict=True)):
        y -= _height(level) / 2
        for block in level:
            frame = Rect(x - block.size[0] / 2, y, *block.size)
            y += frame.h + GAP
            frames += [frame] * block.framed
            for card, keys in block.cards:
                at = card.at.moved(frame.x, frame.y)
                cards.append(replace(card, at=at))
                ends |= dict.fromkeys(keys, End(number, row, frame if block.framed else at, at))
    return Picture(tuple(cards), tuple(frames), wires_between(plan, flow, ends))


def _height(level: _Level) -> float:
    return sum(block.size[1] for block in level) + GAP * (len(level) - 1)


def _places(levels: Sequence[_Level]) -> list[tuple[int, Point]]:
    """Return the row of every level, and its middle; every other row runs to the left."""
    widths = [max(block.size[0] for block in level) for level in levels]
    crowded = any(len(block.cards) > 1 and not block.framed for level in levels for block in level)
    limit = MAX_CROWDED_WIDTH if crowded or max(map(len, levels)) > 1 else MAX_WIDTH
    rows = ceil((sum(widths) + LEVEL_GAP * (len(levels) - 1)) / limit)
    length = ceil(len(levels) / rows)
    in_row = [divmod(number, length) for number in range(len(levels))]
    places = [(row, length - 1 - at if row % 2 else at) for row, at in in_row]
    columns, heights = [0.0] * length, [0.0] * (places[-1][0] + 1)
    for (row, column), width, level in zip(places, widths, levels, strict=True):
        columns[column] = max(columns[column], width)
        heights[row] = max(heights[row], _height(level))
    xs = _middles(columns, LEVEL_GAP)
    ys = _middles(heights, ROW_GAP)
    return [(row, (xs[column], ys[row])) for row, column in places]


def _middles(sizes: Sequence[float], gap: float) -> list[float]:
    """Return the middles of what stands in a line."""
    ends = accumulate(size + gap for size in sizes)
    return [end - gap - size / 2 for end, size in zip(ends, sizes, strict=True)]


def _tensor(plan: Plan, name: str, key: str) -> _Block:
    tensor = plan.tensors[name]
    detail = TIMES.join(map(str, tensor.shape)) + f" {tensor.dtype}"
    return _Block(CARD, ((Card(Rect(0, 0, *CARD), name, detail), (key,)),))


def _block(plan: Plan, group: Group) -> _Block:
    if not group.places:
        return _summary(plan, group)
    gives = {region.tensor for task in group.tasks for region in task.writes}
    takes = {region.tensor for task in group.tasks for region in task.reads}
    padding, size = (PADDING, TILE) if group.is_grid else (0, CARD)
    gap = WIDE_GAP if gives & takes else GAP
    cards = []
    for task, (row, column) in zip(group.tasks, group.places, strict=True):
        x, y = (padding + at * (side + gap) for at, side in zip((column, row), size, strict=True))
        where = "" if task.device is None else f"{device_text(task.device)} · "
        detail = where + si(plan.functions[task.function].cost.macs, "MAC")
        cards.append((Card(Rect(x, y, *size), task.name, detail, (task.device,)), (task.name,)))
    width = max(card.at.x for card, _ in cards) + size[0] + padding
    height = max(card.at.y for card, _ in cards) + size[1] + padding
    return _Block((width, height), tuple(cards), group.is_grid)


def _summary(plan: Plan, group: Group) -> _Block:
    """Return many tasks as one card, with a map of what they write."""
    macs = sum(plan.functions[task.function].cost.macs for task in group.tasks)
    cut = map_of(group.tasks)
    devices = tuple(task.device for task in group.tasks)
    size = CARD if cut is None else MAP_CARD
    card = Card(
        Rect(0, 0, *size),
        label_of(group),
        si(macs, "MAC"),
        tuple(dict.fromkeys(devices)),
        () if cut is None else tuple(zip(cut, devices, strict=True)),
    )
    return _Block(size, ((card, tuple(task.name for task in group.tasks)),))


def device_text(device: Device | None) -> str:
    """Return the short name of a device."""
    return "any" if device is None else f"d{device}" if isinstance(device, int) else device
