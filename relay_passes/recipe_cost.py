"""What a recipe's function takes: multiply-accumulates, constants, memory."""

from __future__ import annotations

from math import prod

from lcp_tvm.plan.box import Box, box_shape, full_box
from lcp_tvm.plan.plan import ITEM_SIZE, Cost, Function
from lcp_tvm.relay_passes.network_graph import Constant, NetworkGraph
from lcp_tvm.relay_passes.recipe import Apply, Crop, Recipe, Step, Sum
from lcp_tvm.relay_passes.slicing import ELEMENTWISE


def function_of(graph: NetworkGraph, recipe: Recipe) -> Function:
    """Return a recipe's signature and cost.

    An elementwise operator that is the only reader of its operand is computed in one loop with
    it, as TVM fuses them: the operand takes no memory and moves no elements.
    """
    values = len(recipe.args) + len(recipe.steps)
    readers: list[list[int]] = [[] for _ in range(values)]
    for number, step in enumerate(recipe.steps, start=len(recipe.args)):
        for value in dict.fromkeys(_operands(step)):
            readers[value].append(number)
    fused = [False] * values
    stored_at = list(range(values))  # the step that a fused value's chain ends with
    for value in range(values - 1, len(recipe.args) - 1, -1):
        if len(readers[value]) != 1 or value in recipe.results:
            continue
        reader = recipe.steps[readers[value][0] - len(recipe.args)]
        if isinstance(reader, Sum) or (
            isinstance(reader, Apply) and graph.nodes[reader.node].op in ELEMENTWISE
        ):
            fused[value] = True
            stored_at[value] = stored_at[readers[value][0]]

    last = [value if not readers[value] else 0 for value in range(values)]
    for value in range(values):
        for reader_at in readers[value]:
            last[value] = max(last[value], stored_at[reader_at])
    for value in recipe.results:
        last[value] = values
    sizes = [0 if fused[value] else recipe.tensor(value).nbytes for value in range(values)]
    in_layer = [False] * values  # whether a value comes of a loop with multiply-accumulates
    for number, step in enumerate(recipe.steps, start=len(recipe.args)):
        in_layer[number] = (isinstance(step, Apply) and step.macs > 0) or any(
            fused[value] and in_layer[value] for value in _operands(step)
        )
    weights = _weights(graph, recipe)
    layers = [step for step in recipe.steps if isinstance(step, Apply)]
    return Function(
        args=recipe.args,
        results=tuple(recipe.tensor(value) for value in recipe.results),
        cost=Cost(
            macs=sum(step.macs for step in layers),
            integer_macs=sum(step.macs for step in layers if step.result.dtype == "int32"),
            elements=sum(
                prod(recipe.tensor(value).shape)
                for value in range(len(recipe.args), values)
                if not fused[value] and not in_layer[value]
            ),
            weight_bytes=sum(weights.values()),
            peak_bytes=_peak(sizes, last, len(recipe.args)),
        ),
        weights=weights,
    )


def _operands(step: Step) -> tuple[int, ...]:
    if isinstance(step, Apply):
        return tuple(operand for operand in step.operands if isinstance(operand, int))
    return (step.value,) if isinstance(step, Crop) else step.values


def _weights(graph: NetworkGraph, recipe: Recipe) -> dict[str, int]:
    """Bytes of the constants, or parts of constants, that a recipe reads."""
    found: dict[str, int] = {}
    for step in recipe.steps:
        if not isinstance(step, Apply):
            continue
        operands = graph.nodes[step.node].operands
        for constant, box in zip(operands, step.operands, strict=True):
            if isinstance(constant, Constant) and isinstance(box, tuple):
                name = _part_name(constant, box)
                found[name] = prod(box_shape(box)) * ITEM_SIZE[constant.dtype]
    return found


def _part_name(constant: Constant, box: Box) -> str:
    if box == full_box(constant.shape):
        return constant.name
    return f"{constant.name}[{','.join(f'{begin}:{end}' for begin, end in box)}]"


def _peak(sizes: list[int], last: list[int], args: int) -> int:
    """Bytes of the values alive at the worst step; arguments live from the start."""
    deaths: dict[int, int] = {}
    for value, step in enumerate(last):
        deaths[step] = deaths.get(step, 0) + sizes[value]
    alive = peak = sum(sizes[:args])
    for value in range(args, len(sizes)):
        alive += sizes[value]
        peak = max(peak, alive)
        alive -= deaths.get(value, 0)
    return peak
