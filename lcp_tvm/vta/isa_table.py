"""The one table of VTA's instruction layout.

The encoder, the decoder, the disassembler (`isa.py`) and the C++ header (`header.py`) all come
from it. Fields are packed from bit 0 up in two little-endian 64-bit words, so a field's low bit is
the sum of the widths before it in its word. Names and order are those of tvm-vta's `hw_spec.h`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lcp_tvm.vta.config import VtaConfig


class Opcode(IntEnum):
    LOAD = 0
    STORE = 1
    GEMM = 2
    FINISH = 3
    ALU = 4


class Memory(IntEnum):
    """Memories as LOAD and STORE name them; ACC_8BIT exists in the Chisel design only."""

    UOP = 0
    WGT = 1
    INP = 2
    ACC = 3
    OUT = 4
    ACC_8BIT = 5


class AluOp(IntEnum):
    """ALU operations; MUL exists in the Chisel design only."""

    MIN = 0
    MAX = 1
    ADD = 2
    SHR = 3
    MUL = 4


@dataclass(frozen=True, slots=True)
class Depth:
    """A field width: log2 of the depth of a buffer, plus `extra`."""

    memory: Literal["uop", "inp", "wgt", "acc"]
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """A run of bits. `attribute` is its name in Python's dataclass; None means always zero."""

    name: str
    width: int | Depth
    attribute: str | None
    kind: type[int] = int
    signed: bool = False
    word: Literal[0, 1] = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of disassembly, shown if any `when` field is set and no `unless` field is."""

    text: str
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Fields of one instruction after the common ones, and how it reads as text."""

    opcode: Opcode
    source: str
    fields: tuple[Field, ...]
    text: tuple[Part, ...]


# The token flags, in every instruction after the opcode.
OPCODE_FIELD = Field("opcode", 3, None, Opcode)
TOKEN_FIELDS = (
    Field("pop_prev", 1, "pop_prev", bool),
    Field("pop_next", 1, "pop_next", bool),
    Field("push_prev", 1, "push_prev", bool),
    Field("push_next", 1, "push_next", bool),
)

INP, WGT, ACC, UOP = Depth("inp"), Depth("wgt"), Depth("acc"), Depth("uop")

_PADS = ("y_pad_0", "y_pad_1", "x_pad_0", "x_pad_1")


def _memory_fields(*, padded: bool) -> tuple[Field, ...]:
    return (
        Field("memory_type", 3, "memory", Memory),
        Field("sram_base", 16, "sram_base"),
        Field("dram_base", 32, "dram_base"),
        Field("y_size", 16, "y_size", word=1),
        Field("x_size", 16, "x_size", word=1),
        Field("x_stride", 16, "x_stride", word=1),
        *(Field(pad, 4, pad if padded else None, word=1) for pad in _PADS),
    )


def _loop_fields(reset: str | None) -> tuple[Field, ...]:
    return (
        Field("reset", 1, reset, bool),
        Field("uop_bgn", UOP, "uop_bgn"),
        Field("uop_end", Depth("uop", 1), "uop_end"),
        Field("iter_out", 14, "iter_out"),
        Field("iter_in", 14, "iter_in"),
        Field("dst_factor_out", ACC, "dst_out", word=1),
        Field("dst_factor_in", ACC, "dst_in", word=1),
    )


_ROWS = "{y_size} rows of {x_size}, stride {x_stride}"
_LOOPS = "uop {uop_bgn}..{uop_end}, {iter_out} x {iter_in}, dst +{dst_factor_out} +{dst_factor_in}"
_SOURCE = ", src +{src_factor_out} +{src_factor_in}"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        Opcode.LOAD,
        "VTAMemInsn",
        _memory_fields(padded=True),
        (
            Part("LOAD {memory_type} sram {sram_base} <- dram {dram_base:#x}, " + _ROWS),
            Part(", pad {y_pad_0},{y_pad_1},{x_pad_0},{x_pad_1}", when=_PADS),
        ),
    ),
    Layout(
        Opcode.STORE,
        "VTAMemInsn",
        _memory_fields(padded=False),
        (Part("STORE {memory_type} sram {sram_base} -> dram {dram_base:#x}, " + _ROWS),),
    ),
    Layout(
        Opcode.GEMM,
        "VTAGemInsn",
        (
            *_loop_fields("reset"),
            Field("src_factor_out", INP, "src_out", word=1),
            Field("src_factor_in", INP, "src_in", word=1),
            Field("wgt_factor_out", WGT, "wgt_out", word=1),
            Field("wgt_factor_in", WGT, "wgt_in", word=1),
        ),
        (
            Part("GEMM "),
            Part("reset ", when=("reset",)),
            Part(_LOOPS + _SOURCE + ", wgt +{wgt_factor_out} +{wgt_factor_in}"),
        ),
    ),
    Layout(Opcode.FINISH, "VTAGenericInsn", (), (Part("FINISH"),)),
    Layout(
        Opcode.ALU,
        "VTAAluInsn",
        (
            *_loop_fields(None),
            Field("src_factor_out", ACC, "src_out", word=1),
            Field("src_factor_in", ACC, "src_in", word=1),
            Field("alu_opcode", 3, "op", AluOp, word=1),
            Field("use_imm", 1, "use_imm", bool, word=1),
            Field("imm", 16, "imm", signed=True, word=1),
        ),
        (
            Part("ALU {alu_opcode} "),
            Part("imm {imm}, ", when=("use_imm",)),
            Part(_LOOPS),
            Part(_SOURCE, unless=("use_imm",)),
        ),
    ),
)

# A micro-op's src is an input for GEMM, an accumulator for ALU: both buffers are equally deep.
MICRO_OP_FIELDS = (Field("dst", ACC, "dst"), Field("src", INP, "src"), Field("wgt", WGT, "wgt"))


def width_of(width: int | Depth, config: VtaConfig) -> int:
    """Bits of a field in `config`."""
    if isinstance(width, int):
        return width
    depths = {
        "uop": config.log_uop_depth,
        "inp": config.log_inp_depth,
        "wgt": config.log_wgt_depth,
        "acc": config.log_acc_depth,
    }
    return depths[width.memory] + width.extra
