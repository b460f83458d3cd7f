"""The growing instruction list of a program, and what it keeps on chip.

Weights, micro-ops and activations are placed in DRAM only when their sizes are known, so an
instruction holds an address inside its `Section`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.isa import Alu, AluOp, Gemm, Instruction, Load, Memory, Store
from lcp_tvm.vta.nest import Nest
from lcp_tvm.vta.step import Range, Section, Space, Step


@dataclass(slots=True)
class MicroOps:
    """Micro-op lists: each kept once in DRAM, and on chip until the buffer is full."""

    depth: int
    words: list[np.ndarray] = field(default_factory=list)
    size: int = 0
    _in_dram: dict[bytes, int] = field(default_factory=dict)
    _on_chip: dict[bytes, int] = field(default_factory=dict)
    _used: int = 0

    def place(self, uops: np.ndarray) -> tuple[int, tuple[int, int] | None]:
        """Where a list lies on chip, and (sram, dram) index when it must be loaded first."""
        key = uops.tobytes()
        if key in self._on_chip:
            return self._on_chip[key], None
        if len(uops) > self.depth:
            raise ValueError(f"{len(uops)} micro-ops do not fit the buffer of {self.depth}")
        if key not in self._in_dram:
            self._in_dram[key] = self.size
            self.words.append(uops)
            self.size += len(uops)
        if self._used + len(uops) > self.depth:
            self._on_chip.clear()
            self._used = 0
        self._on_chip[key] = begin = self._used
        self._used += len(uops)
        return begin, (begin, self._in_dram[key])


@dataclass(slots=True)
class Slots:
    """Equal slots of one SRAM region, the least recently used one is given away first."""

    base: int
    size: int
    count: int
    _held: dict[Hashable, int] = field(default_factory=dict)

    def take(self, key: Hashable) -> tuple[int, bool]:
        """The slot of ``key`` and whether its content is already there."""
        if key in self._held:
            slot = self._held.pop(key)
            self._held[key] = slot
            return slot, True
        if len(self._held) < self.count:
            slot = self.base + len(self._held) * self.size
        else:
            slot = self._held.pop(next(iter(self._held)))
        self._held[key] = slot
        return slot, False


@dataclass(slots=True)
class Emitter:
    """Appends instructions; every method is one instruction, or one and its micro-ops."""

    config: VtaConfig
    steps: list[Step] = field(default_factory=list)
    uops: MicroOps = field(init=False)
    layer: int = -1
    one_at: int = field(init=False)

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

    def load_inputs(
        self,
        sram: int,
        address: int,
        *,
        rows: int,
        size: int,
        stride: int,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> None:
        """Load ``rows`` runs of ``size`` activation elements; padding top, left, bottom, right."""
        top, left, bottom, right = padding
        load = Load(
            Memory.INP, sram, address, rows, size, stride,
            y_pad_0=top, y_pad_1=bottom, x_pad_0=left, x_pad_1=right,
        )  # fmt: skip
        filled = (rows + top + bottom) * (size + left + right)
        self._add(
            load,
            Section.ACTIVATION,
            (Range(Space.DRAM, address, size, rows, stride),),
            (Range(Space.INP, sram, filled),),
        )

    def store(self, sram: int, address: int, *, rows: int, size: int, stride: int) -> None:
        """Store ``rows`` runs of ``size`` output elements."""
        self._add(
            Store(sram, address, rows, size, stride),
            Section.ACTIVATION,
            (Range(Space.OUT, sram, rows * size),),
            (Range(Space.DRAM, address, size, rows, stride),),
        )

    def micro_ops(self, uops: np.ndarray) -> int:
        """Make a list of micro-ops ``[n, 3]`` resident; its first index on chip."""
        begin, load = self.uops.place(np.ascontiguousarray(uops, dtype=np.int32))
        if load is not None:
            sram, dram = load
            self._add(Load(Memory.UOP, sram, dram, 1, len(uops), len(uops)), Section.UOP)
        return begin

    def reset(self, acc: Range) -> None:
        """Zero accumulator elements."""
        begin = self.micro_ops(np.array([[acc.start, 0, 0]]))
        gemm = Gemm(True, begin, begin + 1, 1, acc.size, 0, 1, 0, 0, 0, 0)
        self._add(gemm, writes=(acc,))

    def gemm(self, nest: Nest, acc: Range, inputs: Range, weights: Range) -> None:
        """Multiply and accumulate a nest over a tile's ranges."""
        bases = np.array([acc.start, inputs.start, weights.start], dtype=np.int32)
        uops = nest.uops() + bases
        begin = self.micro_ops(uops)
        outer, inner = nest.outer, nest.inner
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

    def alu_rows(self, op: AluOp, acc: Range, immediate: int) -> None:
        """Apply an immediate to ``acc.count`` runs of accumulator elements."""
        begin = self.micro_ops(np.array([[acc.start, acc.start, 0]]))
        alu = Alu(
            op, begin, begin + 1, acc.count, acc.size, acc.stride, 1, acc.stride, 1,
            True, immediate,
        )  # fmt: skip
        whole = Range(acc.space, acc.start, acc.stride * (acc.count - 1) + acc.size)
        self._add(alu, writes=(whole,))

    def alu_pairs(
        self,
        op: AluOp,
        uops: tuple[int, int],
        loops: tuple[tuple[int, int, int], tuple[int, int, int]],
        acc: Range,
    ) -> None:
        """Combine accumulator elements: resident micro-ops, loops (size, dst, src) outer first."""
        (outer, dst_out, src_out), (inner, dst_in, src_in) = loops
        alu = Alu(op, *uops, outer, inner, dst_out, dst_in, src_out, src_in, False, 0)
        self._add(alu, writes=(acc,))

    def shift_right(self, acc: Range, amount: int) -> None:
        """Arithmetic shift; the hardware takes a signed amount of five bits, -16..15."""
        while amount != 0:
            step = max(min(amount, 15), -16)
            self.alu(AluOp.SHR, acc, step)
            amount -= step

    def requantise(self, acc: Range, shift: int, low: int, high: int) -> None:
        """Shift and clip: what is stored is the low eight bits, without saturation."""
        self.shift_right(acc, shift)
        self.alu(AluOp.MAX, acc, low)
        self.alu(AluOp.MIN, acc, high)
