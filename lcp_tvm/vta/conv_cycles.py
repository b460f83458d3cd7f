"""Cycles of a scheduled convolution: three units that run in order and wait for one another.

The recurrence is that of the hardware, at the grain of actions instead of instructions: a load
waits until what lay in its slot was read, a GEMM until its tiles are there and its accumulators
stored, a store until its tile is finished (vta.md "Stages", "Time").
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_schedule import (
    UOP_BYTES,
    Finish,
    LoadInputs,
    LoadSkip,
    LoadWeights,
    Multiply,
    SlotSizes,
    StoreTile,
    own_weights,
    schedule,
)
from lcp_tvm.vta.nest import Nest
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.timing import Timing
from lcp_tvm.vta.transfers import Transfer, input_transfers, output_transfers


def cycles(shape: ConvShape, tiling: Tiling, sizes: SlotSizes, config: VtaConfig) -> float:
    """Return the modelled cycles of a convolution that runs alone."""
    clock = _Clock(shape, Timing.of(config), config)
    for action in schedule(shape, tiling, sizes, config):
        match action:
            case LoadWeights():
                count = own_weights(shape, action.blocks.size, action.chunk.size)
                if action.extras:
                    count += action.blocks.size * shape.bias_blocks + (1 if shape.skip else 0)
                size = count * config.wgt_elem_bytes
                clock.load(("weights", action.slot), clock.timing.dma(size, 1, 1, weight=True))
            case LoadInputs():
                runs = input_transfers(shape.source, action.chunk, action.reach)
                clock.load(("inputs", action.slot), clock.moved(runs))
            case LoadSkip():
                runs = output_transfers(shape.target, action.box)
                clock.load(("skip", action.slot), clock.moved(runs))
            case Multiply():
                clock.multiply(action)
            case Finish():
                clock.finish(action)
            case StoreTile():
                clock.store(action.acc, clock.moved(output_transfers(shape.target, action.box)))
    return max(clock.loaded, clock.computed, clock.stored)


_Slot = tuple[str, int]


@dataclass(slots=True)
class _Clock:
    """When each unit has done what it was given so far."""

    shape: ConvShape
    timing: Timing
    config: VtaConfig
    loaded: float = 0.0
    computed: float = 0.0
    stored: float = 0.0
    _ready: dict[_Slot, float] = field(default_factory=dict)
    _free: dict[_Slot, float] = field(default_factory=dict)
    _lists: set[tuple[object, ...]] = field(default_factory=set)
    _uops: int = 0

    def moved(self, runs: list[Transfer]) -> float:
        """Cycles of transfers."""
        return sum(
            self.timing.dma(run.rows * run.size * self.config.inp_elem_bytes, run.rows, 1)
            for run in runs
        )

    def load(self, slot: _Slot, took: float) -> None:
        self.loaded = max(self.loaded, self._free.get(slot, 0.0)) + took
        self._ready[slot] = self.loaded

    def multiply(self, action: Multiply) -> None:
        shape, timing = self.shape, self.timing
        used = [("inputs", action.inputs.start), ("weights", action.weights.start)]
        if action.skip is not None:
            used.append(("skip", action.skip))
        begin = max(self.computed, self._free.get(("acc", action.acc), 0.0))
        self.computed = max([begin, *(self._ready[slot] for slot in used if slot in self._ready)])
        if action.first:
            size = action.box.size
            self._issue(("reset", action.acc), 1, size * action.copies * timing.gemm_uop)
            if action.skip is not None:
                key = ("skip", action.acc, action.skip, action.weights.start, action.weights.size)
                self._issue(key, 1, size * timing.gemm_uop)
            for part in range(shape.bias_blocks):
                key = ("bias", action.acc, action.weights.start, action.weights.size, part)
                self._issue(key, 1, size * timing.gemm_uop)
        bases = (action.acc, action.inputs.start, action.weights.start)
        for nest in action.nests:
            self._issue((id(nest), *bases), len(nest.uops), _slots(nest) * timing.gemm_uop)
        for slot in used:
            self._free[slot] = self.computed

    def finish(self, action: Finish) -> None:
        size, copies = action.box.size, action.copies
        while copies > 1:
            half = -(-copies // 2)
            key = ("sum", action.acc, half * size)
            self._issue(key, 1, (copies - half) * size * self.timing.alu_uop)
            copies = half
        for _ in range(self.shape.alu_ops):
            self._issue(("alu", action.acc), 1, size * self.timing.alu_uop)

    def store(self, acc: int, took: float) -> None:
        self.stored = max(self.stored, self.computed) + took
        self._free["acc", acc] = self.stored

    def _issue(self, key: tuple[object, ...], uops: int, took: float) -> None:
        """Run an instruction; its micro-ops are loaded first where they are not there."""
        if key not in self._lists:
            if self._uops + uops > self.config.uop_depth:
                self._lists.clear()
                self._uops = 0
            self._lists.add(key)
            self._uops += uops
            self.computed += self.timing.dma(uops * UOP_BYTES, 1, 1)
        self.computed += took + self.timing.instruction


def _slots(nest: Nest) -> int:
    return nest.outer.size * nest.inner.size * len(nest.uops)
