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
    Action,
    AddBias,
    AddSkip,
    Clip,
    LoadInputs,
    LoadSkip,
    LoadWeights,
    Multiply,
    Reset,
    SlotSizes,
    StoreTile,
    SumCopies,
    TakeMaximum,
    own_weights,
    schedule,
)
from lcp_tvm.vta.step import Space
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.timing import Timing
from lcp_tvm.vta.transfers import Transfer, input_transfers, output_transfers


@dataclass(frozen=True, slots=True)
class Cost:
    """Modelled cycles of a convolution that runs alone, and its instructions.

    ``begin`` is the cycles of its first weights, as far as they can come while the layer before it
    ends, if that ends as this one does.
    """

    cycles: float
    begin: float
    instructions: int

    @property
    def amid(self) -> float:
        """Cycles that it adds to a program: half of the first weights come in time, on average."""
        return self.cycles - self.begin / 2


def cost_of(shape: ConvShape, tiling: Tiling, sizes: SlotSizes, config: VtaConfig) -> Cost:
    """Go through a convolution's schedule."""
    clock = _Clock(shape, Timing.of(config), config)
    bases = dict.fromkeys(Space, 0)
    for action in schedule(shape, tiling, sizes, config, bases):
        match action:
            case LoadWeights():
                count = own_weights(shape, action.blocks.size, action.chunk.size)
                if action.extras:
                    count += action.blocks.size * shape.bias_blocks + (1 if shape.skip else 0)
                size = count * config.wgt_elem_bytes
                took = clock.timing.dma(size, 1, 1, weight=True)
                clock.load((Space.WGT, action.slot), 1, took)
            case LoadInputs():
                runs = input_transfers(shape.source, action.chunk, action.reach)
                clock.load((Space.INP, action.slot), len(runs), clock.moved(runs))
            case LoadSkip():
                runs = output_transfers(shape.output, action.box)
                clock.load((Space.INP, action.slot), len(runs), clock.moved(runs))
            case StoreTile():
                runs = output_transfers(shape.output, action.box)
                clock.store(action.slot, len(runs), clock.moved(runs))
            case _:
                clock.compute(action)
    cycles = max(clock.loaded, clock.computed, clock.stored)
    return Cost(cycles, min(clock.begin, cycles - clock.loaded), clock.instructions)


_Slot = tuple[Space, int]


@dataclass(slots=True)
class _Clock:
    """When each unit has done what it was given so far."""

    shape: ConvShape
    timing: Timing
    config: VtaConfig
    loaded: float = 0.0
    computed: float = 0.0
    stored: float = 0.0
    instructions: int = 0
    begin: float = 0.0
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

    def load(self, slot: _Slot, instructions: int, took: float) -> None:
        self.instructions += instructions
        self.loaded = max(self.loaded, self._free.get(slot, 0.0)) + took
        self.begin = self.begin or took
        self._ready[slot] = self.loaded

    def compute(self, action: Action) -> None:
        """Run an action of the compute unit."""
        gemm, alu = self.timing.gemm_uop, self.timing.alu_uop
        match action:
            case Reset(acc):
                self._wait((Space.OUT, acc.start))
                self._issue(("reset", acc.start), 1, acc.size * gemm)
            case AddSkip(acc, operand, identity, slot):
                slots = (Space.INP, operand.start), (Space.WGT, slot)
                self._wait(*slots)
                key = ("skip", acc.start, operand.start, identity.start)
                self._issue(key, 1, acc.size * gemm)
                self._release(*slots)
            case AddBias(acc, _, weights, slot):
                self._wait((Space.WGT, slot))
                self._issue(("bias", acc.start, weights.start), 1, acc.size * gemm)
                self._release((Space.WGT, slot))
            case Multiply(acc, inputs, weights, nests):
                slots = (Space.INP, inputs.start), (Space.WGT, weights.start)
                self._wait(*slots)
                bases = (acc.start, inputs.start, weights.start)
                for nest in nests:
                    self._issue((nest, *bases), len(nest.uops), nest.issue_slots * gemm)
                self._release(*slots)
            case SumCopies(acc, copies):
                while copies > 1:
                    half = -(-copies // 2)
                    took = (copies - half) * acc.size * alu
                    self._issue(("sum", acc.start, half * acc.size), 1, took)
                    copies = half
            case TakeMaximum(acc, output, steps):
                for step in steps:
                    nest, at = step.nest, (acc.start, output.start)
                    self._issue((nest, *at), len(nest.uops), nest.issue_slots * alu)
            case Clip(acc, copy):
                for operands in self.shape.epilogue:
                    self._issue((operands, acc.start, copy.start), 1, acc.size * alu)

    def _wait(self, *slots: _Slot) -> None:
        """Wait for what was loaded into slots, or stored from them."""
        self.computed = max([self.computed, *(self._ready.get(slot, 0.0) for slot in slots)])

    def _release(self, *slots: _Slot) -> None:
        for slot in slots:
            self._free[slot] = self.computed

    def store(self, slot: int, instructions: int, took: float) -> None:
        self.instructions += instructions
        self.stored = max(self.stored, self.computed) + took
        self._ready[Space.OUT, slot] = self.stored

    def _issue(self, key: tuple[object, ...], uops: int, took: float) -> None:
        """Run an instruction; micro-ops are loaded together until the buffer is full."""
        if key not in self._lists:
            if self._uops + uops > self.config.uop_depth:
                self._lists.clear()
                self._uops = 0
            first = 0 if self._lists else 1
            self._lists.add(key)
            self._uops += uops
            took += self.timing.dma(uops * UOP_BYTES, first, first)
            self.instructions += first
        took += self.timing.instruction
        self.computed += took
        self.instructions += 1
