"""Upstream TVM's schedule of a packed convolution, as the stream that its runtime made of it.

    for row tiles, for block tiles, in two virtual threads:
        pop store, reset, push load
        for every input block: pop compute, load inputs and weights | multiply, push load
        shift, clip | store, push compute

A thread has half of every buffer. Its loads begin when its accumulators are reset, so that a tile
never loads ahead of the store before it: those waits are part of what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lcp_tvm.vta.config import VtaConfig
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
from lcp_tvm.vta.step import Unit, unit_of

THREADS = 2

NOPS = {
    Unit.LOAD: Load(Memory.INP, 0, 0, 0, 0, 0),
    Unit.COMPUTE: Load(Memory.UOP, 0, 0, 0, 0, 0),
    Unit.STORE: Store(0, 0, 0, 0, 0),
}


@dataclass(frozen=True)
class Measured:
    """A convolution, its schedule in the log, and the time of a launch on the board.

    Sizes in blocks and pixels; tiles are whole rows; one of the two has the virtual threads.
    """

    in_blocks: int
    out_blocks: int
    size: int
    kernel: int
    stride: int
    tile_rows: int
    tile_blocks: int
    oc_nthread: int
    h_nthread: int
    seconds: float

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def out_size(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1


class Queue:
    """The runtime's instruction queue: a pop waits for its unit's next instruction, a push takes
    the last one; what finds neither is a no-op.
    """

    def __init__(self) -> None:
        self.stream: list[Instruction] = []
        self.uops: list[MicroOp] = []
        self._pops: dict[Unit, set[str]] = {unit: set() for unit in Unit}
        self._kernels: dict[tuple[object, ...], tuple[int, int]] = {}

    def add(self, instruction: Instruction) -> None:
        pops = self._pops[unit_of(instruction)]
        self.stream.append(replace(instruction, **dict.fromkeys(pops, True)))
        pops.clear()

    def nop(self, unit: Unit) -> None:
        self.add(NOPS[unit])

    def push(self, source: Unit, target: Unit) -> None:
        flag = "push_next" if source < target else "push_prev"
        if self._pops[source]:
            self.nop(source)
        last = self.stream[-1]
        if unit_of(last) != source or getattr(last, flag):
            self.nop(source)
        self.stream[-1] = replace(self.stream[-1], **{flag: True})

    def pop(self, source: Unit, target: Unit) -> None:
        flag = "pop_prev" if source < target else "pop_next"
        if flag in self._pops[target]:
            self.nop(target)
        self._pops[target].add(flag)

    def kernel(self, key: tuple[object, ...], uops: Sequence[MicroOp]) -> tuple[int, int]:
        """Micro-ops from and to; loaded when they are first used."""
        if key not in self._kernels:
            begin = len(self.uops)
            self.uops += uops
            self._kernels[key] = begin, len(self.uops)
            self.add(Load(Memory.UOP, begin, begin, 1, len(uops), len(uops)))
        return self._kernels[key]

    def finish(self) -> None:
        for unit in (Unit.STORE, Unit.LOAD):
            self.push(unit, Unit.COMPUTE)
            self.pop(unit, Unit.COMPUTE)
        self.nop(Unit.COMPUTE)
        self.add(Finish())


@dataclass(frozen=True)
class Thread:
    """A virtual thread and the tile that it is at."""

    number: int
    row_tile: int
    block_tile: int


def run(conv: Measured, config: VtaConfig) -> Stats:
    """Simulate the convolution's stream on zeros."""
    inputs = config.uop_depth * 4 // config.inp_elem_bytes
    weights = -(-(inputs + conv.in_blocks * conv.size**2) * config.inp_elem_bytes
                // config.wgt_elem_bytes)  # fmt: skip
    weight_count = conv.out_blocks * conv.in_blocks * conv.kernel**2
    outputs = (weights + weight_count) * config.wgt_elem_bytes // config.out_elem_bytes
    queue = Queue()
    _Writer(queue, conv, inputs, weights, outputs).write()
    first = (outputs + conv.out_blocks * conv.out_size**2) * config.out_elem_bytes
    dram = np.zeros(first, np.uint8)
    uops = _bytes(encode_micro_ops(queue.uops, config))
    dram[: len(uops)] = uops
    dram = np.concatenate([dram, _bytes(encode_stream(queue.stream, config))])
    return simulate(config, dram, first, len(queue.stream))


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


class _Writer:
    """Writes a convolution to a queue; addresses in elements of their memory."""

    def __init__(
        self, queue: Queue, conv: Measured, inputs: int, weights: int, outputs: int
    ) -> None:
        self.queue, self.conv = queue, conv
        self.inputs, self.weights, self.outputs = inputs, weights, outputs
        self.in_rows = (conv.tile_rows - 1) * conv.stride + conv.kernel
        self.in_columns = (conv.out_size - 1) * conv.stride + conv.kernel
        self.plane = conv.tile_rows * conv.out_size
        self.inp_half = self.in_rows * self.in_columns
        self.wgt_half = conv.tile_blocks * conv.kernel**2
        self.acc_half = conv.tile_blocks * self.plane

    def write(self) -> None:
        queue, conv = self.queue, self.conv
        queue.nop(Unit.COMPUTE)  # clears the previous run's done flag
        for _ in range(THREADS):
            queue.push(Unit.STORE, Unit.COMPUTE)
        for row_tile in range(0, conv.out_size // conv.tile_rows, conv.h_nthread):
            for block_tile in range(0, conv.out_blocks // conv.tile_blocks, conv.oc_nthread):
                self._tile(
                    [
                        Thread(
                            number,
                            row_tile + (number if conv.h_nthread > 1 else 0),
                            block_tile + (number if conv.oc_nthread > 1 else 0),
                        )
                        for number in range(THREADS)
                    ]
                )
        for _ in range(THREADS):
            queue.pop(Unit.STORE, Unit.COMPUTE)
        queue.finish()

    def _tile(self, threads: Sequence[Thread]) -> None:
        queue, conv = self.queue, self.conv
        for thread in threads:
            queue.pop(Unit.STORE, Unit.COMPUTE)
            self._reset(thread)
            queue.push(Unit.COMPUTE, Unit.LOAD)
        for block in range(conv.in_blocks):
            for thread in threads:
                queue.pop(Unit.COMPUTE, Unit.LOAD)
                self._load(thread, block)
                queue.push(Unit.LOAD, Unit.COMPUTE)
                queue.pop(Unit.LOAD, Unit.COMPUTE)
                self._multiply(thread)
                queue.push(Unit.COMPUTE, Unit.LOAD)
        for _ in threads:
            queue.pop(Unit.COMPUTE, Unit.LOAD)
        for thread in threads:
            self._requantise(thread)
            queue.push(Unit.COMPUTE, Unit.STORE)
            queue.pop(Unit.COMPUTE, Unit.STORE)
            self._store(thread)
            queue.push(Unit.STORE, Unit.COMPUTE)

    def _reset(self, thread: Thread) -> None:
        conv, acc = self.conv, thread.number * self.acc_half
        uops = [MicroOp(acc + row * conv.out_size, 0) for row in range(conv.tile_rows)]
        begin, end = self.queue.kernel(("reset", thread.number), uops)
        self.queue.add(
            Gemm(True, begin, end, conv.out_size, conv.tile_blocks, 1, self.plane, 0, 0, 0, 0)
        )

    def _load(self, thread: Thread, block: int) -> None:
        conv = self.conv
        top = thread.row_tile * conv.tile_rows * conv.stride - conv.padding
        above, below = max(-top, 0), max(top + self.in_rows - conv.size, 0)
        right = max(self.in_columns - conv.padding - conv.size, 0)
        self.queue.add(
            Load(
                Memory.INP,
                sram_base=thread.number * self.inp_half,
                dram_base=self.inputs + (block * conv.size + top + above) * conv.size,
                y_size=self.in_rows - above - below,
                x_size=self.in_columns - conv.padding - right,
                x_stride=conv.size,
                y_pad_0=above,
                y_pad_1=below,
                x_pad_0=conv.padding,
                x_pad_1=right,
            )
        )
        kernel = conv.kernel**2
        first = thread.block_tile * conv.tile_blocks * conv.in_blocks + block
        self.queue.add(
            Load(
                Memory.WGT,
                sram_base=thread.number * self.wgt_half,
                dram_base=self.weights + first * kernel,
                y_size=conv.tile_blocks,
                x_size=kernel,
                x_stride=conv.in_blocks * kernel,
            )
        )

    def _multiply(self, thread: Thread) -> None:
        conv, number = self.conv, thread.number
        uops = [
            MicroOp(
                number * self.acc_half + block * self.plane + row * conv.out_size,
                number * self.inp_half + (row * conv.stride + tap) * self.in_columns,
                number * self.wgt_half + (block * conv.kernel + tap) * conv.kernel,
            )
            for tap in range(conv.kernel)
            for block in range(conv.tile_blocks)
            for row in range(conv.tile_rows)
        ]
        begin, end = self.queue.kernel(("multiply", number), uops)
        self.queue.add(
            Gemm(False, begin, end, conv.out_size, conv.kernel, 1, 0, conv.stride, 1, 0, 1)
        )

    def _requantise(self, thread: Thread) -> None:
        acc = thread.number * self.acc_half
        for op, operand in ((AluOp.SHR, 8), (AluOp.MIN, 127), (AluOp.MAX, 0)):
            begin, end = self.queue.kernel((op, thread.number), [MicroOp(acc, acc)])
            self.queue.add(Alu(op, begin, end, 1, self.acc_half, 0, 1, 0, 1, True, operand))

    def _store(self, thread: Thread) -> None:
        conv, whole = self.conv, self.conv.out_size**2
        target = self.outputs + thread.block_tile * conv.tile_blocks * whole
        target += thread.row_tile * self.plane
        rows = 1 if self.plane == whole else conv.tile_blocks  # whole planes lie side by side
        self.queue.add(
            Store(thread.number * self.acc_half, target, rows, self.acc_half // rows, whole)
        )
