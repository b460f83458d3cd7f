"""Hand-made instruction streams: a fixed memory map, short constructors, one runner."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    Instruction,
    Load,
    Memory,
    MicroOp,
    Store,
    encode_micro_ops,
    encode_stream,
)
from lcp_tvm.vta.simulator import Stats, simulate

CONFIG = load_config("pynq_z1")
BLOCK = 16
# Byte addresses of what a stream may use; every region has 16 KiB.
INP, WGT, UOP, ACC, OUT, CODE = (i * 0x4000 for i in range(6))
DRAM_SIZE = CODE + 0x40000
IDENTITY = np.eye(BLOCK, dtype=np.int8)[None]
ELEMENT = {Memory.INP: 16, Memory.WGT: 256, Memory.UOP: 4, Memory.ACC: 64, Memory.ACC_8BIT: 16}
BASE = {Memory.INP: INP, Memory.WGT: WGT, Memory.UOP: UOP, Memory.ACC: ACC, Memory.ACC_8BIT: INP}


def load(memory: Memory, count: int, *, sram: int = 0, dram: int = 0, **more: Any) -> Load:
    """Load `count` elements in one row; `dram` counts elements from the memory's region."""
    fields = {"y_size": 1, "x_size": count, "x_stride": count, **more}
    base = BASE[memory] // ELEMENT[memory] + dram
    return Load(memory=memory, sram_base=sram, dram_base=base, **fields)


def store(count: int, *, sram: int = 0, dram: int = 0, **more: Any) -> Store:
    fields = {"y_size": 1, "x_size": count, "x_stride": count, **more}
    return Store(sram_base=sram, dram_base=OUT // 16 + dram, **fields)


def gemm(iters: int = 1, *, reset: bool = False, **more: Any) -> Gemm:
    """`iters` issues of micro-op 0: acc[i] += inp[i] . wgt[0]."""
    fields = {
        "uop_bgn": 0,
        "uop_end": 1,
        "iter_out": 1,
        "iter_in": iters,
        "dst_out": 0,
        "dst_in": 1,
        "src_out": 0,
        "src_in": 1,
        "wgt_out": 0,
        "wgt_in": 0,
        **more,
    }
    return Gemm(reset=reset, **fields)


def alu(op: AluOp, imm: int | None = None, iters: int = 1, **more: Any) -> Alu:
    """`iters` issues of micro-op 0: acc[i] = op(acc[i], imm or acc[i])."""
    fields = {
        "uop_bgn": 0,
        "uop_end": 1,
        "iter_out": 1,
        "iter_in": iters,
        "dst_out": 0,
        "dst_in": 1,
        "src_out": 0,
        "src_in": 1,
        "use_imm": imm is not None,
        "imm": imm or 0,
        **more,
    }
    return Alu(op=op, **fields)


def nop(unit: str = "compute", **tokens: bool) -> Instruction:
    """An instruction with all sizes 0, which only passes tokens."""
    if unit == "store":
        return store(0, y_size=0, **tokens)
    return load(Memory.INP if unit == "load" else Memory.UOP, 0, y_size=0, **tokens)


@dataclass
class Bench:
    """A DRAM image whose regions tests fill, and the runs on it."""

    config: VtaConfig = CONFIG
    inp: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, BLOCK), np.int8))
    wgt: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, BLOCK, BLOCK), np.int8))
    acc: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, BLOCK), np.int32))
    uops: tuple[MicroOp, ...] = (MicroOp(0, 0, 0),)
    dram: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(DRAM_SIZE, np.uint8))

    def run(self, *instructions: Instruction, raw: bytes = b"", **options: Any) -> Stats:
        """Encode, place and execute; `raw` instructions come before the others."""
        for address, data in (
            (INP, self.inp.tobytes()),
            (WGT, self.wgt.tobytes()),
            (ACC, self.acc.tobytes()),
            (UOP, encode_micro_ops(self.uops, self.config)),
            (CODE, raw + encode_stream(instructions, self.config)),
        ):
            self.dram[address : address + len(data)] = np.frombuffer(data, np.uint8)
        count = len(raw) // 16 + len(instructions)
        return simulate(self.config, self.dram, CODE, count, **options)

    def out(self, count: int, first: int = 0) -> npt.NDArray[np.int8]:
        """Output elements [count, BLOCK] that a store has written."""
        begin = OUT + 16 * first
        return self.dram[begin : begin + 16 * count].view(np.int8).reshape(count, BLOCK)


def finish(**tokens: bool) -> Finish:
    return Finish(**tokens)


def acc_through(*operations: Instruction, count: int = 1) -> tuple[Instruction, ...]:
    """LOAD ACC, operations, STORE, FINISH with the tokens that it takes."""
    return (
        load(Memory.UOP, 1),
        load(Memory.ACC, count),
        *operations,
        nop(push_next=True),
        store(count, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )


def alone(instruction: Instruction) -> tuple[Instruction, ...]:
    """A stream of one load or store, and the tokens that FINISH needs to come after it."""
    if isinstance(instruction, Store):
        wrapped = replace(instruction, pop_prev=True, push_prev=True)
        return (nop(push_next=True), wrapped, finish(pop_next=True))
    if isinstance(instruction, Load) and instruction.memory in (Memory.INP, Memory.WGT):
        return (nop(), replace(instruction, push_next=True), finish(pop_prev=True))
    return (instruction, finish())
