"""VTA's instructions: what they are, how they read as text, to and from 128-bit words.

The layout is `isa_table.py`; this file applies it. Nothing is ever masked: what does not fit its
field raises ValueError, and so do bits that stand for nothing when they are decoded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, index
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.vta.config import INSTRUCTION_BYTES, MICRO_OP_BYTES, VtaConfig
from lcp_tvm.vta.isa_table import (
    LAYOUTS,
    MICRO_OP_FIELDS,
    OPCODE_FIELD,
    TOKEN_FIELDS,
    AluOp,
    Field,
    Layout,
    Memory,
    Opcode,
    width_of,
)

__all__ = [
    "Alu",
    "AluOp",
    "Finish",
    "Gemm",
    "Instruction",
    "Load",
    "Memory",
    "MicroOp",
    "Opcode",
    "Store",
    "Tokens",
    "decode",
    "decode_micro_ops",
    "decode_stream",
    "disassemble",
    "encode",
    "encode_micro_ops",
    "encode_stream",
    "opcode_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Token queues an instruction waits for before it starts and feeds when it has finished."""

    pop_prev: bool = False
    pop_next: bool = False
    push_prev: bool = False
    push_next: bool = False


@dataclass(frozen=True, slots=True)
class Load(Tokens):
    """Read y_size rows of x_size elements, x_stride apart in DRAM; pad them with zeros in SRAM."""

    memory: Memory
    sram_base: int  # elements of that memory, as all that follows
    dram_base: int
    y_size: int
    x_size: int
    x_stride: int
    y_pad_0: int = 0
    y_pad_1: int = 0
    x_pad_0: int = 0
    x_pad_1: int = 0


@dataclass(frozen=True, slots=True)
class Store(Tokens):
    """Write y_size rows of x_size output elements, x_stride apart in DRAM."""

    sram_base: int
    dram_base: int
    y_size: int
    x_size: int
    x_stride: int
    memory: Memory = Memory.OUT


@dataclass(frozen=True, slots=True)
class Gemm(Tokens):
    """acc[dst] += inp[src] . wgt[wgt]^T over two loops and a range of micro-ops, or reset acc."""

    reset: bool
    uop_bgn: int
    uop_end: int
    iter_out: int
    iter_in: int
    dst_out: int
    dst_in: int
    src_out: int
    src_in: int
    wgt_out: int
    wgt_in: int


@dataclass(frozen=True, slots=True)
class Alu(Tokens):
    """acc[dst] = op(acc[dst], use_imm ? imm : acc[src]) over two loops and a range of micro-ops."""

    op: AluOp
    uop_bgn: int
    uop_end: int
    iter_out: int
    iter_in: int
    dst_out: int
    dst_in: int
    src_out: int
    src_in: int
    use_imm: bool
    imm: int


@dataclass(frozen=True, slots=True)
class Finish(Tokens):
    """The last instruction: tells the host that the program is done."""


@dataclass(frozen=True, slots=True)
class MicroOp:
    """Indices of one GEMM or ALU step; an ALU step has no weight."""

    dst: int
    src: int
    wgt: int = 0


Instruction = Load | Store | Gemm | Alu | Finish

_CLASSES: dict[Opcode, type[Instruction]] = {
    Opcode.LOAD: Load,
    Opcode.STORE: Store,
    Opcode.GEMM: Gemm,
    Opcode.FINISH: Finish,
    Opcode.ALU: Alu,
}
_OPCODES = {instruction: opcode for opcode, instruction in _CLASSES.items()}
_LAYOUTS = {layout.opcode: layout for layout in LAYOUTS}


def opcode_of(instruction: Instruction) -> Opcode:
    """Opcode of an instruction."""
    return _OPCODES[type(instruction)]


def encode(instruction: Instruction, config: VtaConfig) -> bytes:
    """Encode one instruction as 16 bytes, little endian.

    Raises
    ------
    ValueError
        A value does not fit its field; names the field, the value and the allowed range.
    """
    opcode = opcode_of(instruction)
    plan = _plan(opcode, config)
    bits = int(opcode)
    for slot in plan.slots:
        value = index(slot.get(instruction))
        if not slot.low <= value <= slot.high:
            raise ValueError(
                f"{opcode.name} field {slot.field.name} is {value}, allowed is "
                f"{slot.low}..{slot.high} on {config.name}"
            )
        bits |= (value & slot.mask) << slot.shift
    return bits.to_bytes(INSTRUCTION_BYTES, "little")


def encode_stream(instructions: Iterable[Instruction], config: VtaConfig) -> bytes:
    """Encode instructions one after the other; a ValueError tells which one does not fit."""
    words = []
    for number, instruction in enumerate(instructions):
        try:
            words.append(encode(instruction, config))
        except ValueError as error:
            raise ValueError(f"instruction {number}: {error}") from error
    return b"".join(words)


def decode(data: bytes, config: VtaConfig) -> Instruction:
    """Decode 16 bytes.

    Raises
    ------
    ValueError
        The length is wrong, an opcode, memory or ALU operation does not exist, or a bit is set
        that belongs to no field.
    """
    if len(data) != INSTRUCTION_BYTES:
        raise ValueError(f"an instruction has {INSTRUCTION_BYTES} bytes, found {len(data)}")
    bits = int.from_bytes(data, "little")
    number = bits & ((1 << width_of(OPCODE_FIELD.width, config)) - 1)
    if number not in tuple(Opcode):
        raise ValueError(f"opcode {number} does not exist, allowed are 0..{max(Opcode)}")
    opcode = Opcode(number)
    plan = _plan(opcode, config)
    if bits & ~plan.used:
        raise ValueError(f"{opcode.name} has bits outside its fields: {bits & ~plan.used:#034x}")
    values: dict[str, Any] = {}
    for slot in plan.slots:
        value = (bits >> slot.shift) & slot.mask
        if slot.field.signed and value > slot.high:
            value -= slot.mask + 1
        if value > slot.high:
            raise ValueError(
                f"{opcode.name} field {slot.field.name} is {value}, allowed is 0..{slot.high}"
            )
        values[str(slot.field.attribute)] = slot.field.kind(value)
    return _CLASSES[opcode](**values)


def decode_stream(data: bytes, config: VtaConfig) -> tuple[Instruction, ...]:
    """Decode as many instructions as `data` holds; a ValueError tells which one is wrong."""
    if len(data) % INSTRUCTION_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of {INSTRUCTION_BYTES}-byte words")
    instructions = []
    for start in range(0, len(data), INSTRUCTION_BYTES):
        try:
            instructions.append(decode(data[start : start + INSTRUCTION_BYTES], config))
        except ValueError as error:
            raise ValueError(f"instruction {start // INSTRUCTION_BYTES}: {error}") from error
    return tuple(instructions)


def encode_micro_ops(
    micro_ops: Sequence[MicroOp] | npt.NDArray[np.integer[Any]], config: VtaConfig
) -> bytes:
    """Encode micro-ops, given as such or as an integer array [n, 3] of dst, src, wgt.

    Raises
    ------
    ValueError
        An index does not fit its field; names the micro-op, the field and the allowed range.
    """
    if isinstance(micro_ops, np.ndarray):
        if micro_ops.ndim != 2 or micro_ops.shape[1] != len(MICRO_OP_FIELDS):
            raise ValueError(f"micro-ops have shape {micro_ops.shape}, allowed is [n, 3]")
        table = micro_ops.astype(np.int64, casting="safe")
    else:
        rows = [(op.dst, op.src, op.wgt) for op in micro_ops]
        table = np.array(rows, dtype=np.int64).reshape(-1, len(MICRO_OP_FIELDS))
    words = np.zeros(len(table), dtype=np.int64)
    shift = 0
    for column, field in enumerate(MICRO_OP_FIELDS):
        width = width_of(field.width, config)
        values = table[:, column]
        wrong = np.flatnonzero((values < 0) | (values >> width != 0))
        if wrong.size:
            raise ValueError(
                f"micro-op {wrong[0]} field {field.name} is {values[wrong[0]]}, allowed is "
                f"0..{(1 << width) - 1} on {config.name}"
            )
        words |= values << shift
        shift += width
    return words.astype("<u4").tobytes()


def decode_micro_ops(data: bytes, config: VtaConfig) -> tuple[MicroOp, ...]:
    """Decode as many micro-ops as `data` holds; ValueError for a bit that belongs to no field."""
    if len(data) % MICRO_OP_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of {MICRO_OP_BYTES}-byte words")
    words = np.frombuffer(data, dtype="<u4").astype(np.int64)
    columns = []
    for field in MICRO_OP_FIELDS:
        width = width_of(field.width, config)
        columns.append((words & ((1 << width) - 1)).tolist())
        words = words >> width
    wrong = np.flatnonzero(words)
    if wrong.size:
        raise ValueError(f"micro-op {wrong[0]} has bits outside its fields")
    return tuple(MicroOp(*row) for row in zip(*columns, strict=True))


def disassemble(instruction: Instruction) -> str:
    """One line, such as ``LOAD INP sram 0 <- dram 0x40, 3 rows of 16, stride 18 [push next]``."""
    layout = _LAYOUTS[opcode_of(instruction)]
    values = {
        field.name: _shown(getattr(instruction, field.attribute))
        for field in layout.fields
        if field.attribute is not None
    }
    text = "".join(
        part.text.format(**values)
        for part in layout.text
        if (not part.when or any(values[name] for name in part.when))
        and not any(values[name] for name in part.unless)
    )
    tokens = [
        field.name.replace("_", " ") for field in TOKEN_FIELDS if getattr(instruction, field.name)
    ]
    return f"{text} [{', '.join(tokens)}]" if tokens else text


def _shown(value: int) -> int | str:
    return value.name if isinstance(value, Memory | AluOp) else index(value)


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a field lies in the 128 bits, and what it may hold."""

    field: Field
    get: Callable[[Instruction], int]
    shift: int
    mask: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Plan:
    slots: tuple[_Slot, ...]
    used: int  # bits that belong to a field that need not be zero


@lru_cache(maxsize=256)
def _plan(opcode: Opcode, config: VtaConfig) -> _Plan:
    layout: Layout = _LAYOUTS[opcode]
    places = [0, 64]  # the next free bit of either word
    slots = []
    used = 0
    for field in (OPCODE_FIELD, *TOKEN_FIELDS, *layout.fields):
        width = width_of(field.width, config)
        shift = places[field.word]
        places[field.word] += width
        mask = (1 << width) - 1
        if field is OPCODE_FIELD:
            used |= mask << shift
        if field.attribute is None:
            continue
        used |= mask << shift
        if field.signed:
            low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        elif field.kind in (int, bool):
            low, high = 0, mask
        else:
            low, high = 0, max(field.kind)  # type: ignore[call-overload]
        slots.append(_Slot(field, attrgetter(field.attribute), shift, mask, low, high))
    if places[0] > 64 or places[1] > 128:
        raise ValueError(f"{opcode.name} does not fit two 64-bit words on {config.name}")
    return _Plan(tuple(slots), used)
