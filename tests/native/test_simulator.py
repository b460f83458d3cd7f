"""The simulator against vta.md: what each rule says, in hand-made streams."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import ConfigError, SimulationError
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.isa import AluOp, Instruction, Memory, MicroOp, disassemble
from lcp_tvm.vta.simulator import simulate
from tests.native.streams import (
    BLOCK,
    CODE,
    CONFIG,
    DRAM_SIZE,
    IDENTITY,
    OUT,
    Bench,
    acc_through,
    alone,
    alu,
    finish,
    gemm,
    load,
    store,
)


def int8(seed: int, *shape: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def one_acc(*values: int) -> Bench:
    """A bench whose first accumulator element starts with `values`."""
    acc = np.zeros((1, BLOCK), np.int32)
    acc[0, : len(values)] = values
    return Bench(acc=acc)


# GEMM and ALU


def test_gemm_multiplies_by_the_transposed_weight_and_wraps() -> None:
    inp, wgt = int8(1, 6, BLOCK), int8(2, 1, BLOCK, BLOCK)
    bench = Bench(inp=inp, wgt=wgt)
    bench.run(
        load(Memory.INP, 6),
        load(Memory.WGT, 1, push_next=True),
        load(Memory.UOP, 1),
        gemm(6, reset=True, pop_prev=True),
        gemm(6),
        gemm(6),
        alu(AluOp.SHR, 6, 6),
        alu(AluOp.MAX, -128, 6),
        alu(AluOp.MIN, 127, 6, push_next=True),
        store(6, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    wanted = 2 * (inp.astype(np.int32) @ wgt[0].astype(np.int32).T) >> 6
    np.testing.assert_array_equal(bench.out(6), np.clip(wanted, -128, 127))


@pytest.mark.parametrize("name", ["pynq_z1", "ultra96"])
@pytest.mark.parametrize("log_block", [4, 5])
def test_every_block_size_computes_the_same_product(name: str, log_block: int) -> None:
    config = dataclasses.replace(load_config(name), log_block=log_block)
    block = config.block
    inp, wgt = int8(3, 1, block), int8(4, 1, block, block)
    bench = Bench(config=config, inp=inp, wgt=wgt)
    # Regions start at multiples of 16 KiB, which every element size divides.
    rescale = 16 / block
    inputs, weights = load(Memory.INP, 1), load(Memory.WGT, 1, push_next=True)
    out = store(1, pop_prev=True, push_prev=True)
    bench.run(
        dataclasses.replace(inputs, dram_base=0),
        dataclasses.replace(weights, dram_base=int(weights.dram_base * rescale * rescale)),
        load(Memory.UOP, 1),
        gemm(reset=True, pop_prev=True),
        gemm(push_next=True),
        dataclasses.replace(out, dram_base=int(out.dram_base * rescale)),
        finish(pop_next=True),
    )
    wanted = (inp.astype(np.int32) @ wgt[0].astype(np.int32).T).astype(np.int8)
    np.testing.assert_array_equal(bench.dram[OUT : OUT + block].view(np.int8), wanted[0])


def test_output_is_the_low_byte_without_saturation() -> None:
    bench = one_acc(127, 128, 255, 256, -129)
    bench.run(*acc_through(alu(AluOp.ADD, 0)))
    assert bench.out(1)[0, :5].tolist() == [127, -128, -1, 0, 127]


@pytest.mark.parametrize(
    ("op", "imm", "wanted"),
    [
        (AluOp.MIN, 3, [-7, 3, 3]),
        (AluOp.MAX, 3, [3, 3, 100]),
        (AluOp.ADD, -4, [-11, -1, 96]),
        (AluOp.SHR, 1, [-4, 1, 50]),  # floors
        (AluOp.SHR, 15, [-1, 0, 0]),
        (AluOp.SHR, -1, [-14, 6, -56]),  # shifts left
        (AluOp.SHR, 16, [0, 0, 0]),  # five signed bits: 16 is -16
        (AluOp.SHR, 33, [-4, 1, 50]),  # only five bits count
    ],
)
def test_alu_with_an_immediate(op: AluOp, imm: int, wanted: list[int]) -> None:
    bench = one_acc(-7, 3, 100)
    bench.run(*acc_through(alu(op, imm)))
    assert bench.out(1)[0, :3].tolist() == wanted


def test_alu_reads_its_source_element() -> None:
    bench = Bench(acc=np.arange(2 * BLOCK, dtype=np.int32).reshape(2, BLOCK), uops=(MicroOp(0, 1),))
    bench.run(
        load(Memory.UOP, 1),
        load(Memory.ACC, 2),
        alu(AluOp.ADD, push_next=True),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    np.testing.assert_array_equal(bench.out(1)[0], np.arange(BLOCK) * 2 + BLOCK)


# Rule 1 and 2: the output buffer


def test_storing_a_loaded_accumulator_is_an_error() -> None:
    with pytest.raises(SimulationError, match=r"instruction 3 .*stores stale data: .*LOAD ACC"):
        one_acc(1).run(*acc_through())


def test_loading_over_a_result_makes_the_output_stale() -> None:
    with pytest.raises(SimulationError, match=r"instruction 5 .*stale.*instruction 3 \(LOAD ACC"):
        one_acc(1).run(*acc_through(alu(AluOp.ADD, 1), load(Memory.ACC, 1)))


def test_loading_an_accumulator_leaves_a_store_under_way_alone() -> None:
    """LOAD ACC does not touch the output buffer, so no token is needed between the two."""
    bench = one_acc(5)
    bench.run(
        load(Memory.UOP, 1),
        load(Memory.ACC, 1),
        alu(AluOp.ADD, 1, push_next=True),
        load(Memory.ACC, 1),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    assert bench.out(1)[0, 0] == 6


def test_storing_what_a_reset_left_is_an_error() -> None:
    bench = Bench(inp=np.ones((1, BLOCK), np.int8), wgt=IDENTITY)
    stream = (
        load(Memory.UOP, 1),
        gemm(reset=True, push_next=True),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    with pytest.raises(SimulationError, match=r"instruction 2 .*instruction 1 \(GEMM reset"):
        bench.run(*stream)


# Rules 3 to 6


def test_mul_is_an_error_on_pynq_and_multiplies_on_chisel() -> None:
    bench = one_acc(-7, 5)
    stream = acc_through(alu(AluOp.MUL, 3))
    with pytest.raises(SimulationError, match="MUL, which this design does not have"):
        bench.run(*stream)
    bench.run(*stream, mode="chisel")
    assert bench.out(1)[0, :2].tolist() == [-21, 15]


def test_acc_8bit_is_ignored_on_pynq_and_loads_on_chisel() -> None:
    bench = Bench(inp=np.full((1, BLOCK), -3, np.int8), acc=np.full((1, BLOCK), 40, np.int32))
    stream = acc_through(load(Memory.ACC_8BIT, 1), alu(AluOp.ADD, 1))
    stats = bench.run(*stream)
    assert bench.out(1)[0, 0] == 41
    assert stats.bytes["ACC_8BIT"] == 0
    stats = bench.run(*stream, mode="chisel")
    assert bench.out(1)[0, 0] == -2
    assert stats.bytes["ACC_8BIT"] == 16


def test_micro_op_loads_know_one_row() -> None:
    bench = one_acc(1)
    bench.uops = (MicroOp(0, 0), MicroOp(1, 0))
    first = load(Memory.UOP, 1, y_size=2, x_stride=1, y_pad_0=3, x_pad_0=2)
    assert bench.run(first, finish()).bytes["UOP"] == 4
    with pytest.raises(SimulationError, match="uses micro-op 1, which no load has written"):
        bench.run(first, load(Memory.ACC, 1), alu(AluOp.ADD, 1, uop_end=2), finish())


def test_weight_loads_ignore_padding() -> None:
    bench = Bench(inp=np.full((1, BLOCK), 9, np.int8), wgt=IDENTITY)
    bench.run(
        load(Memory.WGT, 1, y_pad_0=2, x_pad_0=1, y_pad_1=3),
        load(Memory.INP, 1, push_next=True),
        load(Memory.UOP, 1),
        gemm(reset=True, pop_prev=True),
        gemm(push_next=True),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    assert bench.out(1)[0, 0] == 9


def test_padding_surrounds_rows_with_zeros() -> None:
    """2 rows of 2 with pads top 1, bottom 1, left 1, right 2: 4 rows of 5."""
    acc = np.repeat(np.arange(1, 7, dtype=np.int32)[:, None], BLOCK, 1)
    bench = Bench(acc=acc)
    pads = {"y_pad_0": 1, "y_pad_1": 1, "x_pad_0": 1, "x_pad_1": 2}
    stats = bench.run(
        load(Memory.UOP, 1),
        load(Memory.ACC, 2, y_size=2, x_stride=3, **pads),
        alu(AluOp.ADD, 0, 20, push_next=True),
        store(20, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    wanted = np.zeros((4, 5), np.int8)
    wanted[1:3, 1:3] = [[1, 2], [4, 5]]
    np.testing.assert_array_equal(bench.out(20)[:, 0].reshape(4, 5), wanted)
    assert stats.bytes["ACC"] == 4 * 64
    assert stats.rows["ACC"] == 2


def test_empty_rows_with_padding_still_fill_zeros() -> None:
    bench = one_acc(77)
    zeros = load(Memory.ACC, 0, y_size=0, y_pad_0=1, x_pad_0=3)
    stats = bench.run(*acc_through(zeros, alu(AluOp.ADD, 2, 3), count=3))
    np.testing.assert_array_equal(bench.out(3), np.full((3, BLOCK), 2))
    assert stats.rows["ACC"] == 1


# Rule 7: indices


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (load(Memory.INP, 2, sram=2047), r"INP elements \[2047, 2049\), the buffer has 2048"),
        (load(Memory.WGT, 1, sram=1024), r"WGT elements \[1024, 1025\), the buffer has 1024"),
        (load(Memory.ACC, 1, sram=2047, x_pad_1=1), r"ACC elements \[2047, 2049\)"),
        (load(Memory.UOP, 2, sram=8191), r"UOP elements \[8191, 8193\), the buffer has 8192"),
        (store(1, sram=2048), r"OUT elements \[2048, 2049\)"),
        (load(Memory.INP, 1, dram=DRAM_SIZE // 16), "reaches DRAM bytes"),
        (load(Memory.INP, 1, dram=0xFFFFFFFF), "reaches DRAM bytes"),
        (load(Memory.INP, 1, y_size=3, x_stride=DRAM_SIZE // 32), "reaches DRAM bytes"),
        (store(1, dram=DRAM_SIZE // 16), "reaches DRAM bytes"),
    ],
)
def test_a_transfer_outside_of_memory_is_an_error(instruction: Instruction, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        Bench().run(*alone(instruction))


@pytest.mark.parametrize(
    ("uop", "message"),
    [
        (MicroOp(2047, 0, 0), "micro-op 0 reaches ACC element 2048, the buffer has 2048"),
        (MicroOp(0, 2047, 0), "micro-op 0 reaches INP element 2048"),
        (MicroOp(0, 0, 1023), "micro-op 0 reaches WGT element 1024, the buffer has 1024"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_every_index_of_a_gemm_is_checked(uop: MicroOp, message: str, reset: bool) -> None:
    bench = Bench(uops=(uop,))
    with pytest.raises(SimulationError, match=message):
        bench.run(load(Memory.UOP, 1), gemm(2, reset=reset, wgt_in=1), finish())


def test_micro_ops_beyond_their_buffer_are_an_error() -> None:
    with pytest.raises(SimulationError, match="uses micro-ops up to 8193"):
        Bench().run(gemm(uop_end=8193), finish())


def test_reading_what_nothing_wrote_is_an_error() -> None:
    bench = Bench()
    with pytest.raises(SimulationError, match="reads INP element 0, which no load has written"):
        bench.run(load(Memory.UOP, 1), gemm(reset=True), gemm(), finish())
    with pytest.raises(SimulationError, match="reads ACC element 0, which nothing has written"):
        bench.run(load(Memory.UOP, 1), alu(AluOp.ADD, 1), finish())


def test_a_store_over_the_instructions_is_an_error() -> None:
    bench = one_acc(1)
    stream = (
        load(Memory.UOP, 1),
        load(Memory.ACC, 1),
        alu(AluOp.ADD, 1, push_next=True),
        store(1, dram=(CODE - OUT) // 16, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    with pytest.raises(SimulationError, match="where the instructions are"):
        bench.run(*stream)


def test_an_error_names_the_instruction_as_the_disassembler_does() -> None:
    wrong = load(Memory.ACC, 3, sram=2046, y_pad_0=2)
    with pytest.raises(SimulationError) as caught:
        Bench().run(wrong, finish())
    assert str(caught.value).startswith(f"instruction 0 ({disassemble(wrong)}): reaches ACC")


# Config and arguments


def test_wrong_arguments_are_config_errors() -> None:
    dram = np.zeros(64, np.uint8)
    with pytest.raises(ConfigError, match="contiguous one-dimensional uint8"):
        simulate(CONFIG, dram.astype(np.int8), 0, 1)
    dram.flags.writeable = False
    with pytest.raises(ConfigError, match="read-only"):
        simulate(CONFIG, dram, 0, 1)
    with pytest.raises(ConfigError, match="mode is 'fast', allowed are pynq, chisel"):
        simulate(CONFIG, np.zeros(64, np.uint8), 0, 1, mode="fast")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lies outside the stream of 1 instructions"):
        Bench().run(finish(), layers=((0, 2),))
    with pytest.raises(SimulationError, match="does not fit into 64 bytes"):
        simulate(CONFIG, np.zeros(64, np.uint8), 0, 5)
    with pytest.raises(SimulationError, match="not a multiple of 16"):
        simulate(CONFIG, np.zeros(64, np.uint8), 8, 1)


@settings(max_examples=300)
@given(
    st.lists(st.binary(min_size=16, max_size=16), max_size=12), st.sampled_from(["pynq", "chisel"])
)
def test_any_bytes_execute_or_are_refused(words: list[bytes], mode: str) -> None:
    bench = Bench()
    try:
        stats = bench.run(finish(), raw=b"".join(words), mode=mode)
    except SimulationError:
        return
    assert sum(stats.instructions.values()) == len(words) + 1
