"""An instruction before it has tokens and addresses: what it does to shared memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

from lcp_tvm.vta.isa import Instruction, Load, Memory, Store


class Unit(IntEnum):
    """The units that run concurrently."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


class Space(IntEnum):
    """Memories that two units share, in elements of each; DRAM in 16-byte lines."""

    INP = 0
    WGT = 1
    OUT = 2
    DRAM = 3


class Section(Enum):
    """Parts of a program's DRAM, in the order they lie there."""

    INSTRUCTION = "instructions"
    UOP = "micro-ops"
    WEIGHT = "weights"
    CONSTANT = "constant"
    ACTIVATION = "activations"


@dataclass(frozen=True, slots=True)
class Range:
    """``count`` runs of ``size`` elements, ``stride`` apart, from ``start``."""

    space: Space
    start: int
    size: int
    count: int = 1
    stride: int = 0

    def behind(self, offset: int) -> Range:
        """What is left of a single run from ``offset`` on."""
        return Range(self.space, self.start + offset, self.size - offset)

    def runs(self) -> Iterable[slice]:
        """The runs as slices, touching ones merged."""
        if self.count == 1 or self.stride == self.size:
            return (slice(self.start, self.start + self.size * self.count),)
        return (
            slice(self.start + i * self.stride, self.start + i * self.stride + self.size)
            for i in range(self.count)
        )


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction and the shared memory it reads and writes.

    ``section`` is where a transfer's ``dram_base`` counts from; `program` adds its address
    once all sizes are known. ``layer`` numbers the graph's node, -1 for none.
    """

    instruction: Instruction
    reads: tuple[Range, ...] = ()
    writes: tuple[Range, ...] = ()
    section: Section | None = None
    layer: int = -1


def unit_of(instruction: Instruction) -> Unit:
    """The unit that executes an instruction (vta.md "Stages")."""
    if isinstance(instruction, Store):
        return Unit.STORE
    if isinstance(instruction, Load) and instruction.memory in (Memory.INP, Memory.WGT):
        return Unit.LOAD
    return Unit.COMPUTE
