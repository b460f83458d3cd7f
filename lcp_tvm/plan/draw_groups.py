"""Which tasks of a plan are drawn together, and in which order the groups stand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import groupby, takewhile
from math import ceil, sqrt

from lcp_tvm.plan.box import Box
from lcp_tvm.plan.edges import Edge, predecessors
from lcp_tvm.plan.plan import Plan, Task

MAX_TASKS = 150
"""Of a plan with more tasks, groups are drawn as one card each."""
MAX_GROUPS = 40
MAX_LEVELS = 24
MAX_COLUMN = 12

TIMES = "\N{MULTIPLICATION SIGN}"

Place = tuple[int, int]
"""Row and column."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that are drawn together.

    Attributes
    ----------
    level : how many groups come before it, at least.
    places : of every task in the group's grid; empty when the group is one card.
    """

    level: int
    tasks: tuple[Task, ...]
    places: tuple[Place, ...] = ()

    @property
    def is_grid(self) -> bool:
        """Whether it is drawn as a frame full of cards."""
        return any(column for _, column in self.places)


def group_tasks(plan: Plan, edges: Sequence[Edge]) -> tuple[Group, ...]:
    """Group tasks that write parts of one tensor, by level."""
    tensor_of = {task.name: task.writes[0].tensor for task in plan.tasks}
    found = _leveled(plan, edges, tensor_of)
    if found is None:  # the groups wait for each other; tasks of one depth cannot
        depths = _depths(plan)
        keys = {name: (depths[name], tensor) for name, tensor in tensor_of.items()}
        found = _leveled(plan, edges, keys)
    assert found is not None
    if len(plan.tasks) <= MAX_TASKS:
        groups = _merged(found, _kind, MAX_COLUMN + 4)
        return tuple(Group(g.level, g.tasks, _places(g.tasks)) for g in groups)
    groups = _merged(found, _kind, 1)
    if len(groups) > MAX_GROUPS:
        width = ceil((groups[-1].level + 1) / MAX_LEVELS)
        levels = [Group(group.level // width, group.tasks) for group in groups]
        groups = _merged(levels, lambda group: "all", 1)
    return tuple(groups)


def label_of(group: Group) -> str:
    """Return how many tasks a group has, and how their names begin."""
    names = [task.name for task in group.tasks]
    if len(names) == 1:
        return names[0]
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    begin = "".join(letters[0] for letters in same)
    if begin[-1:].isdigit():  # numbers that begin alike are no name
        begin = begin.rstrip("0123456789")
    return f"{len(names)} {TIMES} {begin.rstrip('_- ') or 'task'}"


def map_of(tasks: Sequence[Task]) -> tuple[Box, ...] | None:
    """Return each task's part of the tensor they write, along the two axes that tell them apart.

    None when two axes do not: there is one task, or they write different tensors.
    """
    regions = [task.writes[0] for task in tasks]
    if len(regions) < 2 or len({region.tensor for region in regions}) > 1:
        return None
    along = list(zip(*(region.box for region in regions), strict=True))
    axes = [axis for axis, sides in enumerate(along) if len(set(sides)) > 1]
    if len(axes) == 1 and len(along) > 1:
        axes = [axes[0], axes[0] + 1] if axes[0] + 1 < len(along) else [axes[0] - 1, axes[0]]
    if len(axes) != 2:
        return None
    return tuple((box[axes[0]], box[axes[1]]) for box in (region.box for region in regions))


def _leveled(plan: Plan, edges: Sequence[Edge], keys: Mapping[str, Hashable]) -> list[Group] | None:
    """Return tasks of one key as groups, by level; None when groups wait for each other."""
    tasks: dict[Hashable, list[Task]] = {}
    for task in plan.tasks:
        tasks.setdefault(keys[task.name], []).append(task)
    before: dict[Hashable, set[Hashable]] = {key: set() for key in tasks}
    for edge in edges:
        if edge.producer is not None and edge.consumer is not None:
            source, target = keys[edge.producer], keys[edge.consumer]
            if source != target:
                before[target].add(source)
    try:
        order = tuple(TopologicalSorter(before).static_order())
    except CycleError:
        return None
    levels: dict[Hashable, int] = {}
    for key in order:
        levels[key] = 1 + max((levels[other] for other in before[key]), default=-1)
    return sorted((Group(levels[key], tuple(own)) for key, own in tasks.items()), key=_level)


def _level(group: Group) -> int:
    return group.level


def _depths(plan: Plan) -> dict[str, int]:
    before = predecessors(plan)
    depths: dict[str, int] = {}
    for task in plan.tasks:
        depths[task.name] = 1 + max((depths[name] for name in before[task.name]), default=-1)
    return depths


def _merged(groups: Sequence[Group], kind: Callable[[Group], str], most: int) -> list[Group]:
    """Put groups of one kind and level together where there are more than ``most`` of them."""
    result = []
    for level, on_level in groupby(groups, key=_level):
        kinds: dict[str, list[Group]] = {}
        for group in on_level:
            kinds.setdefault(kind(group), []).append(group)
        for name, own in kinds.items():
            if name and len(own) > most:
                own = [Group(level, tuple(task for group in own for task in group.tasks))]
            result += own
    return result


def _kind(group: Group) -> str:
    """Return what tasks that stand alone may be put together by; nothing for other groups."""
    return group.tasks[0].function.rstrip("0123456789_- ") if len(group.tasks) == 1 else ""


def _places(tasks: Sequence[Task]) -> tuple[Place, ...]:
    """Return where tasks lie in a grid: as in the tensor they write, where that can be seen."""
    cut = map_of(tasks)
    if cut is not None:
        rows, columns = (sorted({box[axis] for box in cut}) for axis in (0, 1))
        found = [(rows.index(box[0]), columns.index(box[1])) for box in cut]
        sides = (len(rows), len(columns))
        if len(set(found)) == len(found) and max(sides) <= MAX_COLUMN:
            return tuple((at[0] + at[1], 0) if 1 in sides else at for at in found)
    wide = 1 if len(tasks) <= MAX_COLUMN else ceil(sqrt(len(tasks)))
    return tuple(divmod(number, wide) for number in range(len(tasks)))
