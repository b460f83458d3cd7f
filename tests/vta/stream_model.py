"""A second opinion on what a VTA stream computes: plain numpy, in the order of the stream.

It holds for streams whose units are properly ordered by tokens, since those compute the same in
every order that the tokens allow. Only the Xilinx design ("pynq") is modelled; nothing is checked.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.isa import (
    Alu,
    AluOp,
    Gemm,
    Instruction,
    Load,
    Memory,
    Store,
    decode_micro_ops,
)

Array = npt.NDArray[Any]


class StreamModel:
    """The memories of the accelerator, all zero at first, and one method for each instruction."""

    def __init__(self, config: VtaConfig, dram: npt.NDArray[np.uint8]) -> None:
        batch, block = config.batch, config.block
        self.config = config
        self.dram = dram
        self.uop = np.zeros((config.uop_depth, 3), np.int64)
        self.inp = np.zeros((config.inp_depth, batch, block), np.int8)
        self.wgt = np.zeros((config.wgt_depth, block, block), np.int8)
        self.acc = np.zeros((config.acc_depth, batch, block), np.int32)
        self.out = np.zeros((config.acc_depth, batch, block), np.int8)
        self.gemm_uops = 0
        self.alu_uops = 0
        self.bytes = {memory.name: 0 for memory in Memory}  # DMA, without padding

    def run(self, stream: Sequence[Instruction]) -> None:
        """Execute a stream; DRAM is changed in place."""
        for instruction in stream:
            if isinstance(instruction, Load):
                self.load(instruction)
            elif isinstance(instruction, Store):
                self.store(instruction)
            elif isinstance(instruction, Gemm):
                self.gemm(instruction)
            elif isinstance(instruction, Alu):
                self.alu(instruction)

    def load(self, load: Load) -> None:
        if load.memory == Memory.UOP:
            raw = self.dram[4 * load.dram_base : 4 * (load.dram_base + load.x_size)]
            self.bytes["UOP"] += len(raw)
            for place, op in enumerate(decode_micro_ops(raw.tobytes(), self.config)):
                self.uop[load.sram_base + place] = op.dst, op.src, op.wgt
            return
        if load.memory == Memory.ACC_8BIT:
            return  # this design has no such load
        memories: dict[Memory, Array] = {
            Memory.INP: self.inp,
            Memory.WGT: self.wgt,
            Memory.ACC: self.acc,
        }
        memory = memories[load.memory]
        rows = self._read_rows(load, memory)
        if load.memory != Memory.WGT:
            pads = ((load.y_pad_0, load.y_pad_1), (load.x_pad_0, load.x_pad_1))
            rows = np.pad(rows, (*pads, *[(0, 0)] * (rows.ndim - 2)))
        elements = rows.reshape(-1, *memory.shape[1:])
        memory[load.sram_base : load.sram_base + len(elements)] = elements

    def _read_rows(self, load: Load, memory: Array) -> Array:
        """[y_size, x_size, ...] elements of DRAM in the type of `memory`."""
        size = memory[0].nbytes
        rows = np.zeros((load.y_size, load.x_size, *memory.shape[1:]), memory.dtype)
        for y in range(load.y_size):
            start = (load.dram_base + y * load.x_stride) * size
            raw = self.dram[start : start + load.x_size * size]
            self.bytes[load.memory.name] += len(raw)
            rows[y] = raw.view(memory.dtype).reshape(rows.shape[1:])
        return rows

    def store(self, store: Store) -> None:
        size = self.config.out_elem_bytes
        for y in range(store.y_size):
            first = store.sram_base + y * store.x_size
            start = (store.dram_base + y * store.x_stride) * size
            row = self.out[first : first + store.x_size].view(np.uint8).ravel()
            self.dram[start : start + len(row)] = row
            self.bytes["OUT"] += len(row)

    def gemm(self, gemm: Gemm) -> None:
        for dst, src, wgt in issues(gemm, self.uop):
            self.gemm_uops += 1
            total = (
                self.acc[dst] + self.inp[src].astype(np.int32) @ self.wgt[wgt].astype(np.int32).T
            )
            self.acc[dst] = 0 if gemm.reset else total
            self.out[dst] = total.astype(np.int8)  # also with reset

    def alu(self, alu: Alu) -> None:
        for dst, src, _ in issues(alu, self.uop):
            self.alu_uops += 1
            right = np.full_like(self.acc[dst], alu.imm) if alu.use_imm else self.acc[src]
            self.acc[dst] = compute(alu.op, self.acc[dst], right)
            self.out[dst] = self.acc[dst].astype(np.int8)


def compute(op: AluOp, left: Array, right: Array) -> Any:
    """One ALU operation on int32 vectors; MUL is not in this design."""
    if op == AluOp.MIN:
        return np.minimum(left, right)
    if op == AluOp.MAX:
        return np.maximum(left, right)
    if op == AluOp.ADD:
        return left + right
    assert op == AluOp.SHR
    amount = right % 32
    amount = np.where(amount >= 16, amount - 32, amount)
    wide = left.astype(np.int64)
    shifted = np.where(amount >= 0, wide >> np.maximum(amount, 0), wide << np.maximum(-amount, 0))
    return shifted.astype(np.int32)


def issues(instruction: Gemm | Alu, uop: Array) -> Iterator[tuple[int, int, int]]:
    """(dst, src, wgt) of every issue slot of a GEMM or ALU, in order; wgt is 0 for ALU."""
    wgt_out, wgt_in = (
        (instruction.wgt_out, instruction.wgt_in) if isinstance(instruction, Gemm) else (0, 0)
    )
    for i in range(instruction.iter_out):
        for j in range(instruction.iter_in):
            for dst, src, wgt in uop[instruction.uop_bgn : instruction.uop_end].tolist():
                yield (
                    dst + i * instruction.dst_out + j * instruction.dst_in,
                    src + i * instruction.src_out + j * instruction.src_in,
                    wgt + i * wgt_out + j * wgt_in,
                )
