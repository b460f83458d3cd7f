"""The growing instruction list of a program, and what it keeps on chip.

Weights, micro-ops and activations are placed in DRAM only when their sizes are known, so an
instruction holds an address inside its `Section`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.isa import Alu, AluOp, Gemm, Instruction, Load, Memory, Store
from lcp_tvm.vta.nest import ONE, Dim, Nest
from lcp_tvm.vta.pooling import PoolStep
from lcp_tvm.vta.step import Range, Section, Space, Step
from lcp_tvm.vta.transfers import Transfer


@dataclass(slots=True)
class MicroOps:
    """Micro-op lists in the order of their use, each on chip until the buffer is full.

    What is on chip together lies side by side in DRAM too, so that one load brings many lists.
    """

    depth: int
    words: list[np.ndarray] = field(default_factory=list)
    size: int = 0
    used: int = 0
    _on_chip: dict[bytes, int] = field(default_factory=dict)

    def place(self, uops: np.ndarray) -> tuple[int, bool]:
        """Where a list lies on chip, and whether it was there before; a new one ends `words`."""
        key = uops.tobytes()
        if key in self._on_chip:
            return self._on_chip[key], True
        if len(uops) > self.depth:
            raise ValueError(f"{len(uops)} micro-ops do not fit the buffer of {self.depth}")
        if self.used + len(uops) > self.depth:
            self._on_chip.clear()
            self.used = 0
        self._on_chip[key] = begin = self.used
        self.words.append(uops)
        self.size += len(uops)
        self.used += len(uops)
        return begin, False


@dataclass(slots=True)
class Emitter:
    """Appends instructions; every method is one instruction, or one and its micro-ops."""

    config: VtaConfig
    steps: list[Step] = field(default_factory=list)
    uops: MicroOps = field(init=False)
    layer: int = -1
    one_at: int = field(init=False)
    _reserved: dict[Space, int] = field(default_factory=dict)
    _uop_load: int | None = None

    def __post_init__(self) -> None:
        self.uops = MicroOps(self.config.uop_depth)
        self.one_at = self.config.inp_depth - 1

    def _add(
        self,
        instruction: Instruction,
        section: Section | None = None,
        reads: tuple[Range, ...] = (),
        writes: tuple[Range, ...] = (),
    ) -> None:
        self.steps.append(Step(instruction, reads, writes, section, self.layer))

    def load_constant(self, address: int) -> None:
        """Load the input element that bias micro-ops multiply with."""
        load = Load(Memory.INP, self.one_at, address, 1, 1, 1)
        self._add(load, Section.CONSTANT, (), (Range(Space.INP, self.one_at, 1),))

    def load_weights(self, sram: int, address: int, count: int) -> None:
        """Load ``count`` consecutive weight elements."""
        load = Load(Memory.WGT, sram, address, 1, count, count)
        self._add(load, Section.WEIGHT, (), (Range(Space.WGT, sram, count),))

    def reserve(self, space: Space, size: int) -> int:
        """First of ``size`` elements for a layer: behind the layer before, where they fit there.

        So a layer can load before the one before it has read all that it loaded.
        """
        depth = self._depth(space)
        begin = self._reserved.get(space, 0)
        if begin + size > depth:
            begin = 0
        if size > depth:
            raise ValueError(f"{size} elements do not fit {space.name} of {depth}")
        self._reserved[space] = begin + size
        return begin

    def _depth(self, space: Space) -> int:
        config = self.config
        depths = {Space.INP: self.one_at, Space.WGT: config.wgt_depth, Space.OUT: config.acc_depth}
        return depths[space]

    def load_inputs(self, slot: int, base: int, run: Transfer) -> None:
        """Load activation elements of a tensor at ``base``."""
        self._add(
            Load(Memory.INP, slot + run.sram, base + run.dram, run.rows, run.size, run.stride),
            Section.ACTIVATION,
            (Range(Space.DRAM, base + run.dram, run.size, run.rows, run.stride),),
            (Range(Space.INP, slot + run.sram, run.rows * run.size),),
        )

    def load_packed_inputs(self, slot: int, address: int, count: int) -> None:
        """Load ``count`` consecutive input elements that lie among the weights."""
        load = Load(Memory.INP, slot, address, 1, count, count)
        self._add(load, Section.WEIGHT, (), (Range(Space.INP, slot, count),))

    def load_activation_weights(self, sram: int, base: int, count: int) -> None:
        """Load activations as weight elements, BLOCK of them as one; so ``base`` is aligned."""
        block = self.config.block
        load = Load(Memory.WGT, sram, base // block, 1, count, count)
        reads = (Range(Space.DRAM, base, count * block),)
        self._add(load, Section.ACTIVATION, reads, (Range(Space.WGT, sram, count),))

    def store(self, slot: int, base: int, run: Transfer) -> None:
        """Store output elements into a tensor at ``base``."""
        self._add(
            Store(slot + run.sram, base + run.dram, run.rows, run.size, run.stride),
            Section.ACTIVATION,
            (Range(Space.OUT, slot + run.sram, run.rows * run.size),),
            (Range(Space.DRAM, base + run.dram, run.size, run.rows, run.stride),),
        )

    def micro_ops(self, uops: np.ndarray) -> int:
        """Make a list of micro-ops ``[n, 3]`` resident; its first index on chip.

        One load brings all lists of a layer, as far as the buffer holds them.
        """
        begin, there = self.uops.place(np.ascontiguousarray(uops, dtype=np.int32))
        if there:
            return begin
        if begin == 0 or self._uop_load is None or self.steps[self._uop_load].layer != self.layer:
            self._uop_load = len(self.steps)
            load = Load(Memory.UOP, begin, self.uops.size - len(uops), 1, 0, 0)
            self._add(load, Section.UOP)
        step = self.steps[self._uop_load]
        assert isinstance(step.instruction, Load)
        size = step.instruction.x_size + len(uops)
        whole = replace(step.instruction, x_size=size, x_stride=size)
        self.steps[self._uop_load] = replace(step, instruction=whole)
        return begin

    def reset(self, acc: Range) -> None:
        """Zero accumulator elements."""
        begin = self.micro_ops(np.array([[acc.start, 0, 0]]))
        gemm = Gemm(True, begin, begin + 1, 1, acc.size, 0, 1, 0, 0, 0, 0)
        self._add(gemm, writes=(acc,))

    def gemm(self, nest: Nest, acc: Range, inputs: Range, weights: Range) -> None:
        """Multiply and accumulate a nest over a tile's ranges."""
        bases = np.array([acc.start, inputs.start, weights.start], dtype=np.int32)
        uops = nest.uops + bases
        begin = self.micro_ops(uops)
        outer, inner = _loops(nest)
        gemm = Gemm(
            False, begin, begin + len(uops), outer.size, inner.size,
            outer.dst, inner.dst, outer.src, inner.src, outer.wgt, inner.wgt,
        )  # fmt: skip
        self._add(gemm, reads=(inputs, weights), writes=(acc,))

    def alu(self, op: AluOp, acc: Range, immediate: int) -> None:
        """Apply an immediate to accumulator elements."""
        begin = self.micro_ops(np.array([[acc.start, acc.start, 0]]))
        alu = Alu(op, begin, begin + 1, 1, acc.size, 0, 1, 0, 1, True, immediate)
        self._add(alu, writes=(acc,))

    def alu_pairs(self, op: AluOp, nest: Nest, dst: Range, src: Range) -> None:
        """Combine accumulator elements of two ranges."""
        uops = nest.uops + np.array([dst.start, src.start, 0], dtype=np.int32)
        begin = self.micro_ops(uops)
        outer, inner = _loops(nest)
        alu = Alu(
            op, begin, begin + len(uops), outer.size, inner.size,
            outer.dst, inner.dst, outer.src, inner.src, False, 0,
        )  # fmt: skip
        self._add(alu, writes=(dst,))

    def take_maximum(self, steps: Sequence[PoolStep], source: Range, output: Range) -> None:
        """Pool accumulator elements into outputs that are zero."""
        for step in steps:
            self.alu_pairs(step.op, step.nest, source if step.in_place else output, source)


def _loops(nest: Nest) -> tuple[Dim, Dim]:
    """Return both loops; the strides of one that turns once count for nothing and may not fit."""
    outer, inner = (dim if dim.size > 1 else ONE for dim in (nest.outer, nest.inner))
    return outer, inner
