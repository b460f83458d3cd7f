"""Tokens are added exactly where ranges overlap across units, and never twice."""

from __future__ import annotations

from lcp_tvm.vta.isa import Finish, Gemm, Load, Memory, Store
from lcp_tvm.vta.step import Range, Space, Step
from lcp_tvm.vta.tokens import weave

DEPTHS = {Space.INP: 32, Space.WGT: 8, Space.OUT: 32, Space.DRAM: 64}


def load(start: int, size: int = 4, dram: int | None = None) -> Step:
    reads = () if dram is None else (Range(Space.DRAM, dram, size),)
    return Step(Load(Memory.INP, start, 0, 1, size, size), reads, (Range(Space.INP, start, size),))


def gemm(inp: int, out: int, size: int = 4) -> Step:
    instruction = Gemm(False, 0, 1, 1, size, 0, 1, 0, 1, 0, 0)
    return Step(instruction, (Range(Space.INP, inp, size),), (Range(Space.OUT, out, size),))


def store(out: int, dram: int, size: int = 4) -> Step:
    instruction = Store(out, dram, 1, size, size)
    return Step(instruction, (Range(Space.OUT, out, size),), (Range(Space.DRAM, dram, size),))


def tokens(steps: list[Step]) -> list[str]:
    """One word an instruction: its letter, then its tokens (< prev, > next; - pop, + push)."""
    letters = {Load: "L", Gemm: "G", Store: "S", Finish: "F"}
    words = []
    for step in weave(steps, DEPTHS):
        insn = step.instruction
        word = letters[type(insn)]
        if isinstance(insn, Load) and insn.memory is Memory.UOP:
            word = "N"
        for flag, sign in (
            ("pop_prev", "-<"),
            ("pop_next", "->"),
            ("push_prev", "+<"),
            ("push_next", "+>"),
        ):
            word += sign if getattr(insn, flag) else ""
        words.append(word)
    return words


def test_a_read_waits_for_the_write() -> None:
    assert tokens([load(0), gemm(0, 0), store(0, 0)]) == ["L+>", "G-<+>", "S-<+<", "F->"]


def test_disjoint_ranges_do_not_wait() -> None:
    assert tokens([load(0), gemm(8, 0)])[1] == "G"


def test_what_is_implied_is_not_synchronised_again() -> None:
    """The second product reads what the first one already waited for."""
    assert tokens([load(0), gemm(0, 0), gemm(0, 4)])[:3] == ["L+>", "G-<", "G"]


def test_one_token_covers_an_earlier_load() -> None:
    """Loads run in order: waiting for the second is waiting for both."""
    steps = [load(0), load(4), gemm(4, 0), gemm(0, 4)]
    assert tokens(steps)[:4] == ["L", "L+>", "G-<", "G"]


def test_an_overwrite_waits_for_the_last_reader() -> None:
    steps = [load(0), gemm(0, 0), gemm(0, 4), load(0)]
    assert tokens(steps)[1:4] == ["G-<", "G+<", "L->+>"]


def test_a_load_of_stored_data_goes_through_compute() -> None:
    """Store and load share no queue: a no-op of the compute unit relays the token."""
    steps = [load(0), gemm(0, 0), store(0, 8), load(16, dram=8)]
    assert tokens(steps) == ["L+>", "G-<+>", "S-<+<", "N->+<", "L->+>", "F-<"]


def test_a_load_of_other_memory_does_not_wait_for_a_store() -> None:
    steps = [load(0), gemm(0, 0), store(0, 8), load(16, dram=32)]
    assert "N" not in "".join(tokens(steps))


def test_strided_runs_overlap_only_where_they_touch() -> None:
    columns = Step(
        Store(0, 0, 4, 2, 8), (Range(Space.OUT, 0, 8),), (Range(Space.DRAM, 0, 2, 4, 8),)
    )
    between = load(16, size=2, dram=4)
    touching = load(16, size=2, dram=9)
    first = [load(0, size=8), gemm(0, 0, size=8), columns]
    assert "N" not in "".join(tokens([*first, between]))
    assert "N->+<" in tokens([*first, touching])


def test_finish_knows_the_last_load_and_store() -> None:
    assert tokens([load(0), gemm(0, 0), store(0, 0), load(8)])[-1] == "F-<->"
