"""Random streams that obey every rule of the hardware, with their tokens.

The draw keeps track of what a rule needs (micro-ops on chip, output elements that a store may
read), makes whatever would break one smaller, and orders the units by tokens at last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

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
    decode_micro_ops,
    encode_micro_ops,
    encode_stream,
)
from tests.vta.stream_model import issues

Array = npt.NDArray[Any]
Element = tuple[Memory, int]
LOADED = (Memory.UOP, Memory.ACC, Memory.INP, Memory.WGT)


@dataclass(frozen=True)
class Case:
    """A program: DRAM with the stream in it, as it is before the run."""

    config: VtaConfig
    dram: npt.NDArray[np.uint8]
    stream: tuple[Instruction, ...]
    insn_addr: int


@dataclass
class Layout:
    """DRAM of a case: twice the depth of each memory to load from or store to, a place for the
    accumulators at the end, then the stream.
    """

    config: VtaConfig
    first: dict[Memory, int] = field(default_factory=dict)  # in elements of that memory
    count: dict[Memory, int] = field(default_factory=dict)
    dump: int = 0  # in output elements
    insn_addr: int = 0

    def __post_init__(self) -> None:
        address = 0
        for memory in (*LOADED, Memory.OUT):
            size = element_bytes(self.config, memory)
            self.first[memory] = -(-address // size)
            self.count[memory] = 2 * depth(self.config, memory)
            address = (self.first[memory] + self.count[memory]) * size
        self.dump = self.first[Memory.OUT] + self.count[Memory.OUT]
        self.insn_addr = (self.dump + 4 * self.config.acc_depth) * self.config.out_elem_bytes


def depth(config: VtaConfig, memory: Memory) -> int:
    return {
        Memory.UOP: config.uop_depth,
        Memory.WGT: config.wgt_depth,
        Memory.INP: config.inp_depth,
        Memory.ACC: config.acc_depth,
        Memory.OUT: config.out_depth,
    }[memory]


def element_bytes(config: VtaConfig, memory: Memory) -> int:
    return {
        Memory.UOP: 4,
        Memory.WGT: config.wgt_elem_bytes,
        Memory.INP: config.inp_elem_bytes,
        Memory.ACC: config.acc_elem_bytes,
        Memory.OUT: config.out_elem_bytes,
    }[memory]


def build_case(
    config: VtaConfig, dram: npt.NDArray[np.uint8], insn_addr: int, stream: Sequence[Instruction]
) -> Case:
    """A case with `stream` written to `dram` at `insn_addr`."""
    code = np.frombuffer(encode_stream(stream, config), np.uint8)
    whole = np.concatenate([dram[:insn_addr], code])
    return Case(config, whole, tuple(stream), insn_addr)


@st.composite
def legal_cases(draw: st.DrawFn, config: VtaConfig, max_size: int = 12) -> Case:
    """Any legal program: fill the memories, up to `max_size` instructions, store all of ACC."""
    layout = Layout(config)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    dram = rng.integers(0, 256, layout.insn_addr, np.uint8)
    ops = [MicroOp(*row) for row in _micro_ops(rng, config, layout.count[Memory.UOP])]
    code = np.frombuffer(encode_micro_ops(ops, config), np.uint8)
    start = 4 * layout.first[Memory.UOP]
    dram[start : start + len(code)] = code
    table = np.array([(op.dst, op.src, op.wgt) for op in ops])
    stream = [_fill(layout, memory) for memory in LOADED]
    chip = table[: config.uop_depth].copy()
    fresh: set[int] = set()  # output elements that a store may read
    for _ in range(draw(st.integers(0, max_size))):
        instruction = draw(_instructions(layout, chip, fresh))
        stream.append(instruction)
        if isinstance(instruction, Load) and instruction.memory == Memory.UOP:
            first = instruction.dram_base - layout.first[Memory.UOP]
            chip[instruction.sram_base : instruction.sram_base + instruction.x_size] = table[
                first : first + instruction.x_size
            ]
        touched = {dst for dst, _, _ in _issued(instruction, chip)}
        if isinstance(instruction, Load) and instruction.memory == Memory.ACC:
            fresh -= set(_span(instruction))
        elif isinstance(instruction, Gemm) and instruction.reset:
            fresh -= touched
        else:
            fresh |= touched
    stream = [*stream, *_dump(layout), Finish()]
    spare = rng.random(len(stream)) < draw(st.sampled_from((0.0, 0.3)))
    ordered = with_tokens(stream, table, layout, spare.tolist())
    return build_case(config, dram, layout.insn_addr, ordered)


def _micro_ops(rng: np.random.Generator, config: VtaConfig, count: int) -> list[list[int]]:
    limits = (config.acc_depth, config.inp_depth, config.wgt_depth)
    rows: list[list[int]] = rng.integers(0, limits, (count, 3)).tolist()
    rows[0] = [0, 0, 0]  # the dump's
    return rows


def _fill(layout: Layout, memory: Memory) -> Instruction:
    count = depth(layout.config, memory)
    return Load(memory, 0, layout.first[memory], 1, count, count)


def _dump(layout: Layout) -> list[Instruction]:
    """Store all bytes of all accumulators: shift them through the output buffer."""
    count = layout.config.acc_depth
    stream: list[Instruction] = [Load(Memory.UOP, 0, layout.first[Memory.UOP], 1, 1, 1)]
    for byte in range(4):
        stream.append(Alu(AluOp.SHR, 0, 1, 1, count, 0, 1, 0, 0, True, 8 if byte else 0))
        stream.append(Store(0, layout.dump + byte * count, 1, count, count))
    return stream


def _instructions(layout: Layout, chip: Array, fresh: set[int]) -> st.SearchStrategy[Instruction]:
    choices: list[st.SearchStrategy[Instruction]] = [
        _loads(layout),
        _gemms(layout.config, chip),
        _alus(layout.config, chip),
    ]
    if fresh:
        choices.append(_stores(layout, fresh))
    return st.one_of(choices)


@st.composite
def _loads(draw: st.DrawFn, layout: Layout) -> Instruction:
    memory = draw(st.sampled_from((*LOADED, Memory.ACC_8BIT)))
    small = st.integers(0, 2)
    pads = [draw(small) for _ in range(4)]
    y_size, x_size = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    stride = draw(st.integers(0, 6))
    if memory == Memory.ACC_8BIT:  # ignored, so anything goes
        return Load(memory, draw(st.integers(0, 65535)), 0, y_size, x_size, stride, *pads)
    rows = 1 if memory == Memory.UOP else y_size
    load = Load(memory, 0, 0, y_size, x_size, stride, *pads)
    room = depth(layout.config, memory) - len(_span(load))
    if room < 0:
        load = replace(load, y_pad_0=0, y_pad_1=0, x_pad_0=0, x_pad_1=0, y_size=1, x_size=1)
        room, rows = depth(layout.config, memory) - 1, 1
    reach = max(0, rows - 1) * load.x_stride + load.x_size
    first, spare = layout.first[memory], layout.count[memory] - reach
    return replace(
        load,
        sram_base=draw(st.integers(0, room)),
        dram_base=first + draw(st.integers(0, max(0, spare))),
    )


def _span(load: Load) -> range:
    """SRAM elements that a load writes."""
    if load.memory == Memory.UOP:
        count = load.x_size
    elif load.memory == Memory.WGT:
        count = load.y_size * load.x_size
    elif load.memory == Memory.ACC_8BIT:
        count = 0
    else:
        width = load.x_pad_0 + load.x_size + load.x_pad_1
        count = (load.y_pad_0 + load.y_size + load.y_pad_1) * width
    return range(load.sram_base, load.sram_base + count)


def _loops(draw: st.DrawFn, config: VtaConfig) -> dict[str, Any]:
    begin = draw(st.integers(0, config.uop_depth - 1))
    end = min(config.uop_depth, begin + draw(st.integers(0, 4)))
    names = ("dst_out", "dst_in", "src_out", "src_in")
    factors = {name: draw(st.integers(0, 4)) for name in names}
    sizes = {name: draw(st.integers(0, 3)) for name in ("iter_out", "iter_in")}
    return {"uop_bgn": begin, "uop_end": end, **sizes, **factors}


@st.composite
def _gemms(draw: st.DrawFn, config: VtaConfig, chip: Array) -> Instruction:
    gemm = Gemm(
        reset=draw(st.booleans()),
        **_loops(draw, config),
        wgt_out=draw(st.integers(0, 2)),
        wgt_in=draw(st.integers(0, 2)),
    )
    slots = list(issues(gemm, chip))
    last: dict[int, int] = {}
    for slot, (dst, src, wgt) in enumerate(slots):
        outside = dst >= config.acc_depth or src >= config.inp_depth or wgt >= config.wgt_depth
        if outside or slot - last.get(dst, -config.hazard_distance) < config.hazard_distance:
            return replace(gemm, uop_end=gemm.uop_bgn + 1, iter_out=1, iter_in=1)
        last[dst] = slot
    return gemm


@st.composite
def _alus(draw: st.DrawFn, config: VtaConfig, chip: Array) -> Instruction:
    alu = Alu(
        op=draw(st.sampled_from((AluOp.MIN, AluOp.MAX, AluOp.ADD, AluOp.SHR))),
        **_loops(draw, config),
        use_imm=draw(st.booleans()),
        imm=draw(st.integers(-32768, 32767) | st.integers(-16, 16)),
    )
    written: set[int] = set()
    for dst, src, _ in issues(alu, chip):
        outside = dst >= config.acc_depth or (not alu.use_imm and src >= config.acc_depth)
        if outside or dst in written or (not alu.use_imm and src in written):
            return replace(alu, uop_end=alu.uop_bgn + 1, iter_out=1, iter_in=1)
        written.add(dst)
    return alu


@st.composite
def _stores(draw: st.DrawFn, layout: Layout, fresh: set[int]) -> Instruction:
    base = draw(st.sampled_from(sorted(fresh)))
    run = 1
    while base + run in fresh:
        run += 1
    x_size = draw(st.integers(0, run))
    y_size = draw(st.integers(0, run // x_size)) if x_size else 0
    stride = x_size + draw(st.integers(0, 2))
    reach = max(0, y_size - 1) * stride + x_size
    spare = layout.count[Memory.OUT] - reach
    if spare < 0:
        y_size, spare = 1, layout.count[Memory.OUT] - x_size
    place = layout.first[Memory.OUT] + draw(st.integers(0, spare))
    return Store(base, place, y_size, x_size, stride)


def _issued(instruction: Instruction, chip: Array) -> list[tuple[int, int, int]]:
    return list(issues(instruction, chip)) if isinstance(instruction, Gemm | Alu) else []


def unit_of(instruction: Instruction) -> int:
    """0 load, 1 compute, 2 store."""
    if isinstance(instruction, Store):
        return 2
    on_load = isinstance(instruction, Load) and instruction.memory in (Memory.INP, Memory.WGT)
    return 0 if on_load else 1


def _accesses(instruction: Instruction, chip: Array) -> tuple[set[Element], set[Element]]:
    """Elements of memories that two units share: read, written."""
    reads: set[Element] = set()
    writes: set[Element] = set()
    if isinstance(instruction, Load):
        writes = {(instruction.memory, index) for index in _span(instruction)}
    elif isinstance(instruction, Store):
        count = instruction.y_size * instruction.x_size
        reads = {(Memory.OUT, instruction.sram_base + index) for index in range(count)}
    for dst, src, wgt in _issued(instruction, chip):
        writes.add((Memory.OUT, dst))
        if isinstance(instruction, Gemm):
            reads |= {(Memory.INP, src), (Memory.WGT, wgt)}
    return reads, writes


PUSH = {(0, 1): "push_next", (1, 0): "push_prev", (1, 2): "push_next", (2, 1): "push_prev"}
POP = {(0, 1): "pop_prev", (1, 0): "pop_next", (1, 2): "pop_prev", (2, 1): "pop_next"}


def set_token(instruction: Instruction, flag: str, value: bool) -> Instruction:
    """The instruction with one of its four token flags changed."""
    return replace(instruction, **{flag: value})  # type: ignore[arg-type]


def accesses_of(case: Case) -> list[tuple[set[Element], set[Element]]]:
    """What every instruction of a case reads and writes of the memories that units share.

    What a GEMM with reset reads is not used by anything.
    """
    config = case.config
    chip = np.zeros((config.uop_depth, 3), np.int64)
    accesses = []
    for instruction in case.stream:
        if isinstance(instruction, Load) and instruction.memory == Memory.UOP:
            first = 4 * instruction.dram_base
            raw = case.dram[first : first + 4 * instruction.x_size].tobytes()
            for place, op in enumerate(decode_micro_ops(raw, config)):
                chip[instruction.sram_base + place] = op.dst, op.src, op.wgt
        reads, writes = _accesses(instruction, chip)
        resets = isinstance(instruction, Gemm) and instruction.reset
        accesses.append((set() if resets else reads, writes))
    return accesses


def with_tokens(
    stream: Sequence[Instruction], table: Array, layout: Layout, spare: Sequence[bool]
) -> tuple[Instruction, ...]:
    """Order every two accesses to one element by different units, and FINISH after everything.

    An instruction that is marked `spare` waits for whatever came before it, need it or not.
    """
    chip = np.zeros((layout.config.uop_depth, 3), np.int64)
    flags: list[dict[str, bool]] = [{} for _ in stream]
    units = [unit_of(instruction) for instruction in stream]
    accesses: list[tuple[set[Element], set[Element]]] = []
    pushed = dict.fromkeys(PUSH, -1)  # the last instruction that sent a token
    for index, instruction in enumerate(stream):
        if isinstance(instruction, Load) and instruction.memory == Memory.UOP:
            first = instruction.dram_base - layout.first[Memory.UOP]
            span = _span(instruction)
            chip[span.start : span.stop] = table[first : first + len(span)]
        reads, writes = _accesses(instruction, chip)
        accesses.append((reads, writes))
        for queue in PUSH:
            if queue[1] != units[index]:
                continue
            needed = [
                earlier
                for earlier in range(index)
                if units[earlier] == queue[0]
                and (
                    spare[index]
                    or isinstance(instruction, Finish)
                    or accesses[earlier][1] & (reads | writes)
                    or accesses[earlier][0] & writes
                )
            ]
            if needed and needed[-1] > pushed[queue]:
                pushed[queue] = needed[-1]
                flags[needed[-1]][PUSH[queue]] = True
                flags[index][POP[queue]] = True
    return tuple(
        replace(instruction, **tokens)  # type: ignore[arg-type]
        for instruction, tokens in zip(stream, flags, strict=True)
    )
