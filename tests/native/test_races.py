"""Happens-before: accesses of two units to one place need a token chain between them."""

from __future__ import annotations

import numpy as np
import pytest

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.isa import AluOp, Instruction, Memory
from tests.native.streams import (
    ACC,
    BLOCK,
    IDENTITY,
    INP,
    OUT,
    UOP,
    WGT,
    Bench,
    alu,
    finish,
    gemm,
    load,
    nop,
    store,
)


def bench() -> Bench:
    return Bench(inp=np.ones((8, BLOCK), np.int8), wgt=IDENTITY, acc=np.ones((8, BLOCK), np.int32))


def refused(message: str, *stream: Instruction) -> None:
    with pytest.raises(SimulationError, match=message):
        bench().run(*stream)


OPERANDS = (load(Memory.UOP, 1), load(Memory.INP, 4), load(Memory.WGT, 1, push_next=True))


def test_a_compute_must_wait_for_its_input() -> None:
    refused(
        r"instruction 5 \(GEMM.* race: reads INP element 2 while instruction 3 \(LOAD INP.*"
        r" writes INP elements \[2, 4\); no token orders the two",
        *OPERANDS,
        load(Memory.INP, 2, sram=2, push_next=True),
        gemm(4, reset=True, pop_prev=True),
        gemm(4),
        finish(pop_prev=True),
    )


def test_a_compute_must_wait_for_its_weight() -> None:
    refused(
        r"reads WGT element 0 while instruction 3 \(LOAD WGT.* writes WGT elements \[0, 1\)",
        load(Memory.UOP, 1),
        load(Memory.WGT, 1),
        load(Memory.INP, 4, push_next=True),
        load(Memory.WGT, 1, push_next=True),
        gemm(4, reset=True, pop_prev=True),
        gemm(4),
        finish(pop_prev=True),
    )


def test_a_load_must_wait_until_its_place_was_read() -> None:
    """The token is sent before the GEMM that reads, so it does not help."""
    refused(
        r"instruction 6 \(LOAD INP.* race: writes INP element 3 while instruction 5 \(GEMM.*"
        r" reads INP elements \[0, 4\)",
        *OPERANDS,
        gemm(4, reset=True, pop_prev=True),
        nop(push_prev=True),
        gemm(4),
        load(Memory.INP, 1, sram=3, pop_next=True, push_next=True),
        finish(pop_prev=True),
    )


def test_reads_of_a_reset_are_no_race() -> None:
    """They cannot change what the reset leaves in the accumulators."""
    bench().run(
        load(Memory.UOP, 1),
        gemm(4, reset=True),
        load(Memory.INP, 4, push_next=True),
        finish(pop_prev=True),
    )


def test_a_token_chain_through_a_third_unit_is_an_order() -> None:
    """compute -> store -> compute -> load carries what the first compute has read."""
    stats = bench().run(
        *OPERANDS,
        gemm(4, reset=True, pop_prev=True),
        gemm(4, push_next=True),
        store(4, pop_prev=True, push_prev=True),
        nop(pop_next=True, push_prev=True),
        load(Memory.INP, 4, dram=OUT // 16 - INP // 16, pop_next=True, push_next=True),
        finish(pop_prev=True),
    )
    assert stats.bytes["INP"] == 128


RESULT = (load(Memory.UOP, 1), load(Memory.ACC, 4))


def test_a_store_must_wait_for_its_result() -> None:
    refused(
        r"instruction 4 \(STORE.* race: reads OUT element 0 while instruction 3 \(ALU",
        *RESULT,
        alu(AluOp.ADD, 1, 4, push_next=True),
        alu(AluOp.ADD, 1, 4),
        store(4, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )


WRITERS = [
    pytest.param(alu(AluOp.ADD, 1, 4), "ALU", id="alu"),
    pytest.param(gemm(4, reset=True), "GEMM reset", id="reset"),  # writes the output buffer too
]


@pytest.mark.parametrize(("writer", "name"), WRITERS)
def test_a_result_must_wait_until_the_last_was_stored(writer: Instruction, name: str) -> None:
    refused(
        rf"instruction 3 \(STORE.* race: reads OUT element 0 while instruction 4 \({name}.*"
        r" writes OUT elements \[0, 4\)",
        *RESULT,
        alu(AluOp.ADD, 1, 4, push_next=True),
        store(4, pop_prev=True, push_prev=True),
        writer,
        finish(pop_next=True),
    )


@pytest.mark.parametrize(("writer", "name"), WRITERS)
def test_a_result_that_came_late_by_chance_is_a_race(writer: Instruction, name: str) -> None:
    """The writer waits for load, which knows nothing of the store that has run meanwhile."""
    refused(
        rf"instruction 6 \({name}.* race: writes OUT element 0 while instruction 3 \(STORE.*"
        r" reads OUT elements \[0, 4\)",
        *RESULT,
        alu(AluOp.ADD, 1, 4, push_prev=True, push_next=True),
        store(4, pop_prev=True, push_prev=True),
        nop("load", pop_next=True, push_next=True),
        nop(pop_prev=True),
        writer,
        finish(pop_next=True),
    )


def stored(*after: Instruction, wait: bool) -> tuple[Instruction, ...]:
    """ALU, STORE to OUT[0:4], then `after` with or without a token in between."""
    return (
        *RESULT,
        alu(AluOp.ADD, 1, 4, push_next=True),
        store(4, pop_prev=True, push_prev=True),
        *((nop(pop_next=True, push_prev=True),) if wait else (nop(push_prev=True),)),
        *after,
        finish(pop_prev=True) if wait else finish(pop_prev=True, pop_next=True),
    )


def test_an_input_from_dram_must_wait_for_its_store() -> None:
    again = load(Memory.INP, 2, dram=OUT // 16 - INP // 16 + 1, pop_next=True, push_next=True)
    bench().run(*stored(again, wait=True))
    refused(
        r"race: .* DRAM bytes \[0x10010, 0x10030\) that instruction . "
        r"\((STORE|LOAD INP).* no token orders the two",
        *stored(again, wait=False),
    )


@pytest.mark.parametrize(
    ("memory", "element", "base"), [(Memory.ACC, 64, ACC), (Memory.UOP, 4, UOP)]
)
def test_a_compute_load_from_dram_must_wait_for_its_store(
    memory: Memory, element: int, base: int
) -> None:
    again = load(memory, 1, sram=8, dram=(OUT - base) // element)
    start = (*RESULT, alu(AluOp.ADD, 1, 4, push_next=True), store(4, pop_prev=True, push_prev=True))
    bench().run(*start, nop(pop_next=True), again, finish())
    refused(r"race: .* DRAM bytes \[0x10000", *start, again, finish(pop_next=True))


def test_a_store_must_wait_until_its_place_in_dram_was_read() -> None:
    """The load reads OUT, which the store overwrites; both orders of simulation find it."""
    early = load(Memory.INP, 4, dram=(OUT - INP) // 16, push_next=True)
    end = store(4, pop_prev=True, push_prev=True)
    bench().run(
        *RESULT,
        early,
        alu(AluOp.ADD, 1, 4, pop_prev=True, push_next=True),
        end,
        finish(pop_next=True),
    )
    refused(
        r"race: .* DRAM bytes \[0x10000, 0x10040\)",
        *RESULT,
        early,
        alu(AluOp.ADD, 1, 4, push_next=True),
        end,
        finish(pop_prev=True, pop_next=True),
    )


def test_weights_in_dram_are_tracked_too() -> None:
    again = load(Memory.WGT, 1, dram=(OUT - WGT) // 256, pop_next=True, push_next=True)
    refused(r"race: .* DRAM bytes \[0x10000", *stored(again, wait=False))


def test_neighbours_in_dram_are_independent() -> None:
    beside = load(Memory.INP, 2, dram=(OUT - INP) // 16 + 4, pop_next=True, push_next=True)
    bench().run(*stored(beside, wait=False))
