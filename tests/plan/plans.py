"""Plans by hand, small and large: the shapes that splits of networks have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lcp_tvm.plan.box import Box, Range, box_shape, full_box, intersect
from lcp_tvm.plan.plan import (
    GATEWAY,
    Cost,
    Device,
    Fallback,
    Function,
    Plan,
    Region,
    Task,
    Tensor,
)


def a_map(channels: int, height: int, width: int) -> Tensor:
    return Tensor((1, channels, height, width), "float32")


def a_task(
    name: str,
    reads: Iterable[Region],
    writes: Iterable[Region],
    device: Device | None = None,
    function: str | None = None,
) -> Task:
    """Return a task; unless told otherwise, its function has its own name."""
    return Task(name, function or name, tuple(reads), tuple(writes), device)


def a_plan(
    split: str,
    tensors: Mapping[str, Tensor],
    inputs: Iterable[str],
    outputs: Iterable[str],
    tasks: Iterable[Task],
) -> Plan:
    """Return a plan with the functions and devices that its tasks speak of."""
    tasks = tuple(tasks)
    functions: dict[str, Function] = {}
    for task in tasks:
        functions[task.function] = a_function(tensors, task.reads, task.writes)
        if task.fallback is not None:
            other = a_function(tensors, task.fallback.reads, task.writes)
            functions[task.fallback.function] = other
    numbers = [task.device for task in tasks if isinstance(task.device, int)]
    return Plan(
        name="net",
        split=split,
        tensors=tensors,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        functions=functions,
        tasks=tasks,
        devices=max(numbers, default=0) + 1,
    )


def a_function(
    tensors: Mapping[str, Tensor], reads: Iterable[Region], writes: Iterable[Region]
) -> Function:
    """Return a function of what is read and written, that computes as a 3x3 convolution would."""
    args, results = (
        tuple(Tensor(box_shape(region.box), tensors[region.tensor].dtype) for region in regions)
        for regions in (reads, writes)
    )
    made = sum(tensor.nbytes for tensor in results)
    return Function(
        args,
        results,
        Cost(
            macs=9 * 16 * made // 4,
            elements=made // 4,
            weight_bytes=9 * 16 * 16 * 4,
            peak_bytes=made + sum(tensor.nbytes for tensor in args),
        ),
    )


def whole(tensors: Mapping[str, Tensor], name: str) -> Region:
    return Region(name, full_box(tensors[name].shape))


def with_task(plan: Plan, number: int, **changes: Any) -> Plan:
    """Return the plan with another task in place of one."""
    tasks = list(plan.tasks)
    tasks[number] = replace(tasks[number], **changes)
    return replace(plan, tasks=tuple(tasks))


def again(plan: Plan) -> Plan:
    """Return the plan with functions that suit its tasks."""
    fresh = a_plan(plan.split, plan.tensors, plan.inputs, plan.outputs, plan.tasks)
    return replace(fresh, devices=plan.devices)


def chain(stages: int, split: str | None = None) -> Plan:
    """image -> stage0 -> stage1 -> .., a device each; maps get smaller and deeper."""
    tensors = {"image": a_map(3, 224, 224)}
    tensors |= {
        f"t{at}": a_map(16 << min(at // 3, 5), max(224 >> (at // 3), 7), max(224 >> (at // 3), 7))
        for at in range(stages)
    }
    names = list(tensors)
    tasks = [
        a_task(f"stage{at}", [whole(tensors, names[at])], [whole(tensors, names[at + 1])], at)
        for at in range(stages)
    ]
    return a_plan(split or f"pipeline:{stages}", tensors, ["image"], names[-1:], tasks)


def branches(count: int) -> Plan:
    """LCP: image -> count branches, a device each -> head at the gateway."""
    tensors = {"image": a_map(3, 32, 32)}
    tensors |= {f"branch{at}": a_map(8, 8, 8) for at in range(count)}
    tensors["scores"] = Tensor((1, 10), "float32")
    parts = [f"branch{at}" for at in range(count)]
    tasks = [
        a_task(name, [whole(tensors, "image")], [whole(tensors, name)], at)
        for at, name in enumerate(parts)
    ]
    ends = [whole(tensors, name) for name in parts]
    tasks.append(a_task("head", ends, [whole(tensors, "scores")], GATEWAY))
    return a_plan(f"lcp:{count}", tensors, ["image"], ["scores"], tasks)


def tiles(
    rows: int, columns: int, *, side: int = 8, halo: int = 2, devices: int | None = None
) -> Plan:
    """FTP: tiles with halos of the image -> disjoint regions of a map -> head at the gateway.

    ``devices`` deals the tiles out; None binds none of them.
    """
    tensors = {"image": a_map(3, rows * side, columns * side)}
    tensors |= {"map": a_map(16, rows * side, columns * side)}
    tensors |= {"scores": Tensor((1, 10), "float32")}
    tasks = [
        a_task(
            f"tile_{row}_{column}",
            [Region("image", _tile(tensors["image"], row, column, side, halo))],
            [Region("map", _tile(tensors["map"], row, column, side, 0))],
            None if devices is None else (row * columns + column) % devices,
            f"tile_{_place(row, rows)}{_place(column, columns)}",
        )
        for row in range(rows)
        for column in range(columns)
    ]
    tasks.append(a_task("head", [whole(tensors, "map")], [whole(tensors, "scores")], GATEWAY))
    return a_plan(f"ftp:{rows}x{columns}@4", tensors, ["image"], ["scores"], tasks)


def reuse(rows: int, columns: int, side: int = 8, halo: int = 2) -> Plan:
    """FTP with reuse: every other tile waits for strips of its neighbours, or does without."""
    plan = tiles(rows, columns, side=side, halo=halo)
    tensors = dict(plan.tensors)
    by_place = {
        (row, column): plan.tasks[row * columns + column]
        for row in range(rows)
        for column in range(columns)
    }
    strip = a_map(16, halo, side)
    gives: dict[tuple[int, int], list[Region]] = {place: [] for place in by_place}
    takes: dict[tuple[int, int], list[Region]] = {place: [] for place in by_place}
    for row, column in by_place:
        if (row + column) % 2 == 0:
            continue
        for giver in ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)):
            if giver in by_place:
                name = f"map@{giver[0]},{giver[1]}>{row},{column}"
                tensors[name] = strip
                gives[giver].append(whole(tensors, name))
                takes[row, column].append(whole(tensors, name))
    tasks = [
        replace(
            task,
            function=task.name,
            reads=(_below(task), *takes[place]) if takes[place] else task.reads,
            writes=(*task.writes, *gives[place]),
            fallback=Fallback(f"{task.name}_alone", task.reads) if takes[place] else None,
        )
        for place, task in sorted(by_place.items(), key=lambda item: (sum(item[0]) % 2, item[0]))
    ]
    tasks.append(plan.tasks[-1])
    return a_plan(f"{plan.split}:reuse", tensors, ["image"], ["scores"], tasks)


def strips(layers: int, count: int, height: int = 0) -> Plan:
    """MoDNN: every layer in strips of rows, with a row of halo from the strips beside."""
    rows = height or 4 * count
    tensors = {"image": a_map(3, rows, 32)}
    tensors |= {f"layer{at}": a_map(16, rows, 32) for at in range(layers)}
    names = list(tensors)
    tasks = [
        a_task(
            f"layer{at}_{strip}",
            [Region(names[at], _rows(tensors[names[at]], strip, count, halo=1))],
            [Region(names[at + 1], _rows(tensors[names[at + 1]], strip, count, halo=0))],
            strip,
        )
        for at in range(layers)
        for strip in range(count)
    ]
    return a_plan(f"strips:{count}", tensors, ["image"], names[-1:], tasks)


def layers(depth: int, devices: int, channels: int = 32) -> Plan:
    """Model parallelism: a device makes its share of each layer's channels, from all of them."""
    tensors = {f"layer{at}": a_map(channels, 8, 8) for at in range(depth + 1)}
    share = channels // devices
    tasks = [
        a_task(
            f"layer{at}_{device}",
            [whole(tensors, f"layer{at - 1}")],
            [
                Region(
                    f"layer{at}",
                    ((0, 1), (device * share, (device + 1) * share), (0, 8), (0, 8)),
                )
            ],
            device,
        )
        for at in range(1, depth + 1)
        for device in range(devices)
    ]
    return a_plan(f"layers:{devices}", tensors, ["layer0"], [f"layer{depth}"], tasks)


def _below(task: Task) -> Region:
    """What of the image lies under the tile that a task writes."""
    batch, _, *place = task.writes[0].box
    return Region("image", (batch, (0, 3), *place))


def _tile(tensor: Tensor, row: int, column: int, side: int, halo: int) -> Box:
    around: tuple[Range, ...] = tuple(
        (at * side - halo, at * side + side + halo) for at in (row, column)
    )
    return intersect(full_box(tensor.shape), (*full_box(tensor.shape)[:2], *around))


def _rows(tensor: Tensor, strip: int, count: int, halo: int) -> Box:
    full = full_box(tensor.shape)
    height = tensor.shape[2]
    rows = (height * strip // count - halo, height * (strip + 1) // count + halo)
    return intersect(full, (*full[:2], rows, full[3]))


def _place(at: int, count: int) -> str:
    """Where tiles of one shape lie along a side: at its begin, its end, or inside."""
    return "a" if at == 0 else "c" if at == count - 1 else "b"
