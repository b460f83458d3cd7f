"""Dependence tokens: the one place that asks "do these ranges overlap?".

The three units run in order and meet only in token queues (vta.md "Stages"). Emission lists
instructions in an order in which executing one after the other is right; this module finds
which of those orders the units would not keep by themselves and adds the tokens that make
them. Each unit's knowledge of the others is a vector clock, so a token is added only for
what is not already implied.

Tokens of one queue are matched first in, first out. That is safe here because every new
token of a queue is pushed by a later instruction, and popped by a later one, than the last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lcp_tvm.vta.isa import Finish, Load, Memory
from lcp_tvm.vta.step import Range, Space, Step, Unit, unit_of

_WRITER = {
    Space.INP: Unit.LOAD,
    Space.WGT: Unit.LOAD,
    Space.OUT: Unit.COMPUTE,
    Space.DRAM: Unit.STORE,
}
_READER = {
    Space.INP: Unit.COMPUTE,
    Space.WGT: Unit.COMPUTE,
    Space.OUT: Unit.STORE,
    Space.DRAM: Unit.LOAD,
}


NOP = Load(memory=Memory.UOP, sram_base=0, dram_base=0, y_size=0, x_size=0, x_stride=0)


@dataclass(slots=True)
class _Weaver:
    """Clocks while instructions are woven together; ``out`` grows, tokens are set on it."""

    out: list[Step] = field(default_factory=list)
    known: np.ndarray = field(default_factory=lambda: np.full((3, 3), -1, dtype=np.int64))
    clocks: list[list[tuple[int, int, int]]] = field(default_factory=lambda: [[], [], []])
    places: list[list[int]] = field(default_factory=lambda: [[], [], []])
    tokens: list[set[str]] = field(default_factory=list)

    def append(self, step: Step, needs: dict[Unit, int]) -> int:
        """Add ``step`` after the given instructions of other units; its index in its unit."""
        unit = unit_of(step.instruction)
        pops = self._resolve(unit, needs)
        self.out.append(step)
        self.tokens.append(set())
        here = len(self.out) - 1
        for other, index in pops.items():
            self.tokens[self.places[other][index]].add(_direction("push", other, unit))
            self.tokens[here].add(_direction("pop", unit, other))
            self.known[unit] = np.maximum(self.known[unit], self.clocks[other][index])
        index = len(self.places[unit])
        self.known[unit][unit] = index
        self.clocks[unit].append(tuple(int(t) for t in self.known[unit]))  # type: ignore[arg-type]
        self.places[unit].append(here)
        return index

    def _resolve(self, unit: Unit, needs: dict[Unit, int]) -> dict[Unit, int]:
        """Turn needs into at most one pop per neighbouring unit."""
        pops: dict[Unit, int] = {}
        for other, index in needs.items():
            if index <= self.known[unit][other]:
                continue
            if Unit.COMPUTE in (unit, other):
                pops[other] = max(index, pops.get(other, -1))
            else:
                relay = self._relay(other, index)
                pops[Unit.COMPUTE] = max(relay, pops.get(Unit.COMPUTE, -1))
        return pops

    def _relay(self, other: Unit, index: int) -> int:
        """Load and store share no queue: the first compute instruction that knows ``index``."""
        if self.known[Unit.COMPUTE][other] < index:
            self.append(Step(NOP), {other: index})
        return bisect_left(self.clocks[Unit.COMPUTE], index, key=lambda clock: clock[other])


def _direction(verb: str, unit: Unit, other: Unit) -> str:
    return f"{verb}_{'prev' if other < unit else 'next'}"


def weave(steps: Sequence[Step], depths: dict[Space, int]) -> list[Step]:
    """Add tokens to ``steps`` and close the program with FINISH.

    Parameters
    ----------
    steps : instructions without tokens, in an order that is right when run one by one.
    depths : elements of every space.

    Returns
    -------
    The steps with tokens set, no-ops that relay a token between load and store, and FINISH.
    """
    weaver = _Weaver()
    writer = {space: np.full(depth, -1, dtype=np.int32) for space, depth in depths.items()}
    reader = {space: np.full(depth, -1, dtype=np.int32) for space, depth in depths.items()}
    for step in steps:
        needs: dict[Unit, int] = {}
        for access in step.reads:
            _need(needs, _WRITER[access.space], writer[access.space], access)
        for access in step.writes:
            _need(needs, _READER[access.space], reader[access.space], access)
        index = weaver.append(step, needs)
        for access in step.reads:
            for run in access.runs():
                reader[access.space][run] = index
        for access in step.writes:
            for run in access.runs():
                writer[access.space][run] = index
    if not weaver.places[Unit.COMPUTE]:  # the first to compute clears "done", so it may not wait
        weaver.append(Step(NOP), {})
    last = {unit: len(weaver.places[unit]) - 1 for unit in (Unit.LOAD, Unit.STORE)}
    weaver.append(Step(Finish()), last)
    return [
        _with_tokens(step, tokens) for step, tokens in zip(weaver.out, weaver.tokens, strict=True)
    ]


def _with_tokens(step: Step, tokens: set[str]) -> Step:
    instruction = replace(
        step.instruction,
        pop_prev="pop_prev" in tokens,
        pop_next="pop_next" in tokens,
        push_prev="push_prev" in tokens,
        push_next="push_next" in tokens,
    )
    return replace(step, instruction=instruction)


def _need(needs: dict[Unit, int], unit: Unit, last: np.ndarray, access: Range) -> None:
    for run in access.runs():
        needs[unit] = max(needs.get(unit, -1), int(last[run].max(initial=-1)))
