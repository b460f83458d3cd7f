"""Tokens, FINISH and queue depths (vta.md rules 8, 9, 10), and the times that follow."""

from __future__ import annotations

import pytest

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.isa import AluOp, Instruction, Memory, MicroOp, disassemble
from tests.native.streams import IDENTITY, Bench, alu, finish, gemm, load, nop


def test_load_ignores_the_flags_of_a_stage_before_it() -> None:
    ignored = {"pop_prev": True, "push_prev": True}
    Bench().run(nop(), nop("load", push_next=True, **ignored), finish(pop_prev=True))


def test_store_ignores_the_flags_of_a_stage_after_it() -> None:
    Bench().run(
        nop(push_next=True),
        nop("store", pop_prev=True, pop_next=True, push_prev=True, push_next=True),
        finish(pop_next=True),
    )


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ((), "is empty"),
        ((nop(),), "instruction 0 .* is the last instruction; it must be FINISH"),
        ((finish(), nop()), "instruction 0 .* is followed by 1 more"),
        ((nop(), finish(push_prev=True)), r"1 token\(s\) are left in queue compute->load"),
        ((nop(push_next=True), finish()), r"1 token\(s\) are left in queue compute->store"),
        ((nop("load"), nop(), finish()), "FINISH.* is not ordered after instruction 0"),
        ((nop(), nop("store"), finish()), "FINISH.* is not ordered after instruction 1"),
        (
            (nop(), nop("load", push_next=True), nop("load"), finish(pop_prev=True)),
            "FINISH.* is not ordered after instruction 2",
        ),
        (
            (nop("load", push_next=True), load(Memory.UOP, 1, pop_prev=True), finish()),
            "first compute instruction and waits for a token",
        ),
        (
            (nop(), nop(pop_prev=True), finish()),
            "compute waits at instruction 1 .* for a token of load->compute",
        ),
        (
            (nop(), nop("store", pop_prev=True, push_prev=True), finish(pop_next=True)),
            "store waits at instruction 1 .* for a token of compute->store",
        ),
    ],
)
def test_a_stream_with_wrong_tokens_is_an_error(
    stream: tuple[Instruction, ...], message: str
) -> None:
    with pytest.raises(SimulationError, match=message):
        Bench().run(*stream)


def test_a_deadlock_names_what_every_unit_waits_for() -> None:
    stream = (
        nop(),
        nop("load", pop_next=True, push_next=True),
        nop(pop_prev=True, push_prev=True),
        finish(),
    )
    with pytest.raises(SimulationError) as caught:
        Bench().run(*stream)
    assert str(caught.value) == (
        f"deadlock: load waits at instruction 1 ({disassemble(stream[1])}) for a token of "
        f"compute->load; compute waits at instruction 2 ({disassemble(stream[2])}) for a token "
        "of load->compute; store has finished"
    )


@pytest.mark.parametrize("ahead", [512, 513])
def test_fetch_blocks_on_a_full_command_queue(ahead: int) -> None:
    """`ahead` compute instructions wait for a load that fetch only reaches after them."""
    stream = (
        nop(),
        nop(pop_prev=True),
        *[nop()] * (ahead - 1),
        nop("load", push_next=True),
        finish(),
    )
    if ahead <= 512:
        assert Bench().run(*stream).instructions["LOAD"] == ahead + 2
    else:
        with pytest.raises(SimulationError, match=r"fetch waits at instruction 513 .* 512"):
            Bench().run(*stream)


@pytest.mark.parametrize("tokens", [1024, 1025])
def test_a_push_blocks_on_a_full_token_queue(tokens: int) -> None:
    """Compute fills compute->load, and so many more follow that fetch never reaches the loads."""
    stream = (
        *[nop(push_prev=True)] * tokens,
        *[nop()] * 600,
        *[nop("load", pop_next=True)] * (tokens - 1),
        nop("load", pop_next=True, push_next=True),
        finish(pop_prev=True),
    )
    if tokens <= 1024:
        assert Bench().run(*stream).instructions["LOAD"] == 2 * tokens + 600
    else:
        with pytest.raises(SimulationError, match="for room in compute->load"):
            Bench().run(*stream)


@pytest.mark.parametrize("opcode", [5, 6, 7])
def test_an_unknown_opcode_is_an_error(opcode: int) -> None:
    raw = opcode.to_bytes(16, "little")
    with pytest.raises(SimulationError, match=rf"has opcode {opcode}, which does not exist"):
        Bench().run(finish(), raw=raw)


def test_a_stream_that_no_host_waits_for_is_refused() -> None:
    endless = gemm(uop_end=8192, iter_out=1000, iter_in=1000, reset=True)
    with pytest.raises(SimulationError, match="more than the 1073741824"):
        Bench().run(endless, finish())


# Time. The constants are vta.md's; the sums are by hand.

INSTRUCTION, ROW, LAUNCH_MS = 91.5, 43.5, 0.017


def test_one_instruction_costs_its_overhead() -> None:
    stats = Bench().run(finish())
    assert stats.cycles == INSTRUCTION
    assert stats.units == {"load": 0, "compute": INSTRUCTION, "store": 0}
    assert stats.ms == pytest.approx(INSTRUCTION / 100e3 + LAUNCH_MS)


def test_transfers_cost_rows_and_bytes() -> None:
    inp = load(Memory.INP, 5, y_size=3, x_stride=7, x_pad_0=2, y_pad_1=1)
    stats = Bench().run(nop(), inp, load(Memory.WGT, 2, push_next=True), finish(pop_prev=True))
    wanted = 2 * INSTRUCTION + 4 * ROW + 3 * 5 * 16 / 8.2 + 2 * 256 / 3.74
    assert stats.units["load"] == pytest.approx(wanted)
    assert stats.cycles == pytest.approx(wanted + INSTRUCTION)
    assert (stats.bytes["INP"], stats.bytes["WGT"]) == (240, 512)
    assert (stats.rows["INP"], stats.rows["WGT"]) == (3, 1)


def test_micro_ops_cost_one_cycle_in_gemm_and_two_in_alu() -> None:
    bench = Bench(uops=(MicroOp(0, 0, 0), MicroOp(1, 0, 0)))
    stats = bench.run(
        load(Memory.UOP, 2),
        gemm(3, reset=True, uop_end=2, iter_out=5, dst_in=2, dst_out=6),
        alu(AluOp.ADD, 1, 4, uop_end=2, dst_in=2),
        finish(),
    )
    assert (stats.gemm_uops, stats.alu_uops) == (30, 8)
    assert stats.cycles == pytest.approx(4 * INSTRUCTION + ROW + 8 / 8.2 + 30 + 2 * 8)


def test_units_run_at_the_same_time_between_tokens() -> None:
    """Two loads and two computes: the second load overlaps the first compute."""
    stats = Bench().run(
        load(Memory.UOP, 1),
        load(Memory.INP, 100, push_next=True),
        gemm(30, reset=True, iter_out=40, pop_prev=True),
        load(Memory.INP, 100, sram=100, push_next=True),
        gemm(30, reset=True, iter_out=40, pop_prev=True),
        finish(),
    )
    loading = INSTRUCTION + ROW + 1600 / 8.2
    computing = INSTRUCTION + 1200
    assert loading < computing
    assert stats.cycles == pytest.approx(loading + 2 * computing + INSTRUCTION)
    assert stats.units["load"] == pytest.approx(2 * loading)


def test_a_128_bit_bus_moves_twice_the_bytes() -> None:
    stream = (load(Memory.ACC, 4), finish())
    stats = Bench(config=load_config("ultra96")).run(*stream)
    assert stats.cycles == pytest.approx(2 * INSTRUCTION + ROW + 256 / 16.4)
    assert stats.ms == pytest.approx(stats.cycles / 333e3 + LAUNCH_MS)


def test_layers_are_counted_from_completion_to_completion() -> None:
    """The second layer's load runs while the first computes, and costs it no time of its own."""
    stats = Bench(wgt=IDENTITY).run(
        load(Memory.UOP, 1),
        gemm(1000, reset=True),
        load(Memory.INP, 4, push_next=True),
        alu(AluOp.ADD, 1, 10, pop_prev=True),
        finish(),
        layers=((0, 2), (2, 3)),
    )
    first, second = stats.layers
    loading = INSTRUCTION + ROW + 64 / 8.2
    assert first.cycles == pytest.approx(2 * INSTRUCTION + ROW + 4 / 8.2 + 1000)
    assert second.cycles == pytest.approx(2 * INSTRUCTION + 20)
    assert first.cycles + second.cycles == pytest.approx(stats.cycles)
    assert first.units["load"] == 0
    assert second.units["load"] == pytest.approx(loading)
    assert (first.gemm_uops, second.alu_uops, second.bytes["INP"]) == (1000, 10, 64)
    assert second.instructions == {"LOAD": 1, "STORE": 0, "GEMM": 0, "FINISH": 1, "ALU": 1}
