"""The instruction set: words written by hand, round trips, what does not fit, text."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
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
    decode,
    decode_micro_ops,
    decode_stream,
    disassemble,
    encode,
    encode_micro_ops,
    encode_stream,
)
from tests.vta.configs import PYNQ, WIDE, configs
from tests.vta.instructions import instructions, micro_ops

LOAD = Load(Memory.INP, 5, 0x40, 3, 16, 18, 1, 2, 3, 4, pop_next=True, push_next=True)
STORE = Store(7, 0x123, 2, 7, 9, pop_prev=True, push_prev=True)
GEMM = Gemm(True, 3, 5, 7, 9, 14, 1, 16, 2, 3, 4, push_prev=True)
ALU = Alu(AluOp.SHR, 1, 2, 1, 2, 1, 2, 3, 4, True, -5)
FINISH = Finish(pop_prev=True, pop_next=True)

# Word 1 and word 0 for the PYNQ, put together by hand: the fields' low bits are in the comments.
GOLDEN = [
    # y_size 0, x_size 16, x_stride 32, pads 48 52 56 60; memory 7, sram_base 10, dram_base 26
    (LOAD, 0x4321_0012_0010_0003, 0x0000_0001_0000_1550),
    (STORE, 0x0000_0009_0007_0002, 0x0000_0004_8C00_1E29),
    # dst 0 11, src 22 33, wgt 44 54; reset 7, uop_bgn 8, uop_end 21, iter_out 35, iter_in 49
    (GEMM, 0x0100_3004_0400_080E, 0x0012_0038_00A0_03A2),
    # dst 0 11, src 22 33, alu_opcode 44, use_imm 47, imm 48
    (ALU, 0xFFFB_B008_00C0_1001, 0x0004_0008_0040_0104),
    (FINISH, 0x0, 0x1B),
]


@pytest.mark.parametrize(("instruction", "word1", "word0"), GOLDEN)
def test_golden_words(instruction: Instruction, word1: int, word0: int) -> None:
    assert encode(instruction, PYNQ) == struct.pack("<QQ", word0, word1)
    assert decode(struct.pack("<QQ", word0, word1), PYNQ) == instruction


def test_widths_follow_the_depths() -> None:
    """On 32 x 32 the factors have 10, 10 and 8 bits."""
    gemm = Gemm(False, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1)
    word1 = 1 << 0 | 1 << 10 | 1 << 20 | 1 << 30 | 1 << 40 | 1 << 48
    assert encode(gemm, WIDE) == struct.pack("<QQ", 0x2, word1)
    assert encode_micro_ops([MicroOp(1, 1, 1)], WIDE) == struct.pack("<I", 1 | 1 << 10 | 1 << 20)


def test_golden_micro_ops() -> None:
    assert encode_micro_ops([MicroOp(1, 2, 3), MicroOp(2047, 0, 1023)], PYNQ) == struct.pack(
        "<II", 1 | 2 << 11 | 3 << 22, 0xFFC0_07FF
    )


@given(st.data(), configs())
def test_decode_inverts_encode(data: st.DataObject, config: VtaConfig) -> None:
    instruction = data.draw(instructions(config))
    assert decode(encode(instruction, config), config) == instruction


@given(st.data(), configs())
def test_streams_round_trip(data: st.DataObject, config: VtaConfig) -> None:
    stream = tuple(data.draw(st.lists(instructions(config), max_size=4)))
    assert decode_stream(encode_stream(stream, config), config) == stream


@given(configs(), st.binary(min_size=16, max_size=16))
def test_what_decodes_encodes_to_the_same_bytes(config: VtaConfig, word: bytes) -> None:
    try:
        instruction = decode(word, config)
    except ValueError:
        return
    assert encode(instruction, config) == word


@given(st.data(), configs())
def test_micro_ops_round_trip(data: st.DataObject, config: VtaConfig) -> None:
    ops = tuple(data.draw(st.lists(micro_ops(config))))
    encoded = encode_micro_ops(ops, config)
    table = np.array([(op.dst, op.src, op.wgt) for op in ops], np.int32).reshape(-1, 3)
    assert encode_micro_ops(table, config) == encoded
    assert decode_micro_ops(encoded, config) == ops


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (replace(LOAD, sram_base=1 << 16), "LOAD field sram_base is 65536, allowed is 0..65535"),
        (replace(LOAD, dram_base=-1), "LOAD field dram_base is -1, allowed is 0..4294967295"),
        (replace(LOAD, y_size=1 << 16), "LOAD field y_size is 65536"),
        (replace(LOAD, x_size=1 << 16), "LOAD field x_size is 65536"),
        (replace(LOAD, x_stride=1 << 16), "LOAD field x_stride is 65536"),
        (replace(LOAD, x_pad_1=16), "LOAD field x_pad_1 is 16, allowed is 0..15"),
        (replace(STORE, sram_base=-2), "STORE field sram_base is -2"),
        (replace(GEMM, uop_bgn=8192), "GEMM field uop_bgn is 8192, allowed is 0..8191"),
        (replace(GEMM, uop_end=16384), "GEMM field uop_end is 16384, allowed is 0..16383"),
        (replace(GEMM, iter_out=16384), "GEMM field iter_out is 16384"),
        (replace(GEMM, dst_out=2048), "GEMM field dst_factor_out is 2048, allowed is 0..2047"),
        (replace(GEMM, wgt_in=1024), "GEMM field wgt_factor_in is 1024, allowed is 0..1023"),
        (replace(ALU, imm=32768), "ALU field imm is 32768, allowed is -32768..32767"),
        (replace(ALU, imm=-32769), "ALU field imm is -32769"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(instruction: Instruction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(instruction, PYNQ)


def test_errors_name_the_instruction_and_micro_op() -> None:
    with pytest.raises(ValueError, match="instruction 1: GEMM field iter_in is 16384"):
        encode_stream([FINISH, replace(GEMM, iter_in=16384)], PYNQ)
    with pytest.raises(ValueError, match=r"micro-op 1 field src is 2048, allowed is 0..2047"):
        encode_micro_ops([MicroOp(0, 0), MicroOp(0, 2048)], PYNQ)
    with pytest.raises(ValueError, match="micro-op 0 field wgt is -1"):
        encode_micro_ops(np.array([[0, 0, -1]]), PYNQ)
    with pytest.raises(ValueError, match=r"shape \(3,\), allowed is \[n, 3\]"):
        encode_micro_ops(np.array([0, 0, 0]), PYNQ)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<QQ", 5, 0), "opcode 5 does not exist"),
        (struct.pack("<QQ", 6 << 7, 0), "LOAD field memory_type is 6, allowed is 0..5"),
        (struct.pack("<QQ", 4, 5 << 44), "ALU field alu_opcode is 5, allowed is 0..4"),
        (struct.pack("<QQ", 4 | 1 << 7, 0), "ALU has bits outside its fields"),
        (struct.pack("<QQ", 1, 1 << 48), "STORE has bits outside its fields"),
        (struct.pack("<QQ", 3, 1), "FINISH has bits outside its fields"),
        (b"\0" * 15, "an instruction has 16 bytes, found 15"),
    ],
)
def test_words_that_no_instruction_encodes_to(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(data, PYNQ)


def test_partial_data_is_refused() -> None:
    with pytest.raises(ValueError, match="instruction 1: opcode 7"):
        decode_stream(encode(FINISH, PYNQ) + struct.pack("<QQ", 7, 0), PYNQ)
    with pytest.raises(ValueError, match="17 bytes are no whole number"):
        decode_stream(b"\0" * 17, PYNQ)
    with pytest.raises(ValueError, match="5 bytes are no whole number"):
        decode_micro_ops(b"\0" * 5, PYNQ)
    with pytest.raises(ValueError, match="micro-op 0 has bits outside"):
        decode_micro_ops(b"\xff\xff\xff\xff", WIDE)


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (
            LOAD,
            "LOAD INP sram 5 <- dram 0x40, 3 rows of 16, stride 18, pad 1,2,3,4 "
            "[pop next, push next]",
        ),
        (Load(Memory.UOP, 0, 16, 1, 8, 8), "LOAD UOP sram 0 <- dram 0x10, 1 rows of 8, stride 8"),
        (STORE, "STORE OUT sram 7 -> dram 0x123, 2 rows of 7, stride 9 [pop prev, push prev]"),
        (
            GEMM,
            "GEMM reset uop 3..5, 7 x 9, dst +14 +1, src +16 +2, wgt +3 +4 [push prev]",
        ),
        (ALU, "ALU SHR imm -5, uop 1..2, 1 x 2, dst +1 +2"),
        (
            Alu(AluOp.ADD, 1, 2, 1, 2, 1, 2, 3, 4, False, 0, push_next=True),
            "ALU ADD uop 1..2, 1 x 2, dst +1 +2, src +3 +4 [push next]",
        ),
        (FINISH, "FINISH [pop prev, pop next]"),
    ],
)
def test_disassembly(instruction: Instruction, text: str) -> None:
    assert disassemble(instruction) == text
