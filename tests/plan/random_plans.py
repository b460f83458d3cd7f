"""Random legal plans, for properties."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from lcp_tvm.plan.box import Box, full_box
from lcp_tvm.plan.plan import (
    GATEWAY,
    ITEM_SIZE,
    Cost,
    Fallback,
    Function,
    Plan,
    Policy,
    Region,
    Task,
    Tensor,
)
from lcp_tvm.plan.validate import MAX_MS
from tests.plan.plans import a_function

DEVICES = 3
NAMES = st.text("abcäß_/.@>,' \"\\", min_size=1, max_size=5)
COUNTS = st.integers(0, (1 << 63) - 1)
WEIGHTS = st.dictionaries(NAMES, st.integers(0, 1 << 40), max_size=3)
TIMES = st.dictionaries(NAMES, st.floats(0, MAX_MS), max_size=2)
TENSORS = st.builds(
    Tensor,
    st.lists(st.integers(1, 6), max_size=4).map(tuple),
    st.sampled_from(sorted(ITEM_SIZE)),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Tensors in some order, each cut into boxes that tasks write which read tensors before it."""
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    tensors = {name: draw(TENSORS) for name in names}
    inputs = draw(st.integers(1, len(names) - 1))
    functions: dict[str, Function] = {}
    tasks: list[Task] = []

    def some_reads(known: list[str]) -> tuple[Region, ...]:
        chosen = draw(st.lists(st.sampled_from(known), max_size=3))
        return tuple(Region(name, draw(boxes_in(full_box(tensors[name].shape)))) for name in chosen)

    def function_of(label: str, reads: tuple[Region, ...], writes: tuple[Region, ...]) -> str:
        plain = a_function(tensors, reads, writes)
        weights = draw(WEIGHTS)
        held = sum(weights.values()) if weights else draw(COUNTS)
        macs = draw(COUNTS)
        integer = draw(st.integers(0, macs))
        cost = Cost(macs, draw(COUNTS), held, draw(COUNTS), integer)
        functions[label] = Function(plain.args, plain.results, cost, draw(TIMES), weights)
        return label

    for at in range(inputs, len(names)):
        parts = [
            Region(names[at], box) for box in draw(partitions(full_box(tensors[names[at]].shape)))
        ]
        while parts:
            name = f"task{len(tasks)}"
            taken = draw(st.integers(1, min(2, len(parts))))
            writes, parts = tuple(parts[:taken]), parts[taken:]
            reads, needs, fallback = some_reads(names[:at]), None, None
            if draw(st.booleans()) and reads:
                needs = draw(st.integers(1, len(reads)))
            elif draw(st.booleans()):
                others = some_reads(names[:at])
                fallback = Fallback(function_of(f"{name}_alone", others, writes), others)
            device = draw(st.sampled_from([None, GATEWAY, *range(DEVICES)]))
            function = function_of(f"run_{name}", reads, writes)
            tasks.append(Task(name, function, reads, writes, device, needs, fallback))
    return Plan(
        name=draw(NAMES),
        split=draw(NAMES),
        tensors=tensors,
        inputs=tuple(names[:inputs]),
        outputs=tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))),
        functions=functions,
        tasks=tuple(tasks),
        devices=DEVICES,
        replicas=draw(st.integers(1, 4)),
        policy=draw(st.sampled_from(get_args(Policy))),
    )


@st.composite
def boxes_in(draw: st.DrawFn, box: Box) -> Box:
    """A box inside another, not empty."""
    sides = []
    for begin, end in box:
        low = draw(st.integers(begin, end - 1))
        sides.append((low, draw(st.integers(low + 1, end))))
    return tuple(sides)


@st.composite
def partitions(draw: st.DrawFn, box: Box) -> list[Box]:
    """Boxes that together are a box, cut where it pleases, in any order."""
    parts = [box]
    for _ in range(draw(st.integers(0, 4))):
        chosen = parts.pop(draw(st.integers(0, len(parts) - 1)))
        wide = [axis for axis, (begin, end) in enumerate(chosen) if end - begin > 1]
        if not wide:
            parts.append(chosen)
            continue
        axis = draw(st.sampled_from(wide))
        begin, end = chosen[axis]
        cut = draw(st.integers(begin + 1, end - 1))
        for side in ((begin, cut), (cut, end)):
            parts.append((*chosen[:axis], side, *chosen[axis + 1 :]))
    return draw(st.permutations(parts))
