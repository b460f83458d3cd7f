"""Random streams with one thing broken: what is wrong and where is what the simulator says."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.isa import (
    Alu,
    AluOp,
    Finish,
    Gemm,
    Instruction,
    Load,
    Memory,
    Store,
    disassemble,
)
from lcp_tvm.vta.simulator import simulate
from tests.vta.configs import SMALL
from tests.vta.stream_model import StreamModel
from tests.vta.streams import (
    POP,
    PUSH,
    Case,
    accesses_of,
    build_case,
    legal_cases,
    set_token,
    unit_of,
)

brief = settings(max_examples=80)

# Each as the last instruction before FINISH, when everything else is known to be done.
BAD: dict[str, tuple[Instruction, str]] = {
    "hazard": (Gemm(False, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0), "hazard"),
    "hazard over the flattened loop": (Gemm(False, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0), "hazard"),
    "alu destination": (Alu(AluOp.ADD, 0, 1, 1, 2, 0, 0, 0, 0, True, 1), "destination"),
    "mul": (Alu(AluOp.MUL, 0, 1, 1, 1, 0, 0, 0, 0, True, 1), "MUL"),
    "micro-op buffer": (Gemm(False, 31, 33, 1, 1, 0, 0, 0, 0, 0, 0), "micro-ops up to 33"),
    "gemm dst": (Gemm(False, 0, 1, 3, 1, 8, 0, 0, 0, 0, 0), "reaches ACC element"),
    "gemm src": (Gemm(False, 0, 1, 1, 3, 0, 4, 0, 8, 0, 0), "reaches (ACC|INP) element"),
    "gemm wgt": (Gemm(True, 0, 1, 1, 3, 0, 0, 0, 0, 0, 4), "reaches WGT element"),
    "alu dst": (Alu(AluOp.MAX, 0, 1, 17, 1, 1, 0, 0, 0, True, 0), "reaches ACC element"),
    "alu src": (Alu(AluOp.MAX, 0, 1, 1, 17, 0, 0, 0, 1, False, 0), "reaches ACC element"),
    "acc buffer": (Load(Memory.ACC, 15, 2, 1, 2, 2), r"reaches ACC elements \[15, 17\)"),
    "acc padding": (Load(Memory.ACC, 15, 2, 0, 0, 0, 1, 0, 2), r"reaches ACC elements \[15, 17\)"),
    "uop buffer": (Load(Memory.UOP, 31, 0, 1, 2, 2), r"reaches UOP elements \[31, 33\)"),
    "uop dram": (Load(Memory.UOP, 0, 1 << 31, 1, 1, 1), "reaches DRAM bytes"),
    "acc dram": (Load(Memory.ACC, 0, (1 << 32) - 1, 2, 1, 65535), "reaches DRAM bytes"),
    "load of OUT": (Load(Memory.OUT, 0, 0, 1, 1, 1), "memory type 4"),
    "finish": (Finish(), "FINISH must be the last"),
}


@brief
@given(legal_cases(SMALL), st.sampled_from(sorted(BAD)))
def test_a_bad_instruction_is_named(case: Case, kind: str) -> None:
    bad, message = BAD[kind]
    finish = case.stream[-1]
    waiting = replace(bad, pop_prev=finish.pop_prev, pop_next=finish.pop_next)
    stream = (*case.stream[:-1], waiting, Finish())
    broken = build_case(SMALL, case.dram, case.insn_addr, stream)
    with pytest.raises(SimulationError, match=message) as failure:
        simulate(SMALL, broken.dram, broken.insn_addr, len(stream))
    name = f"instruction {len(stream) - 2} ({disassemble(waiting)})"
    assert str(failure.value).startswith(name)


def test_the_small_config_makes_every_bad_instruction_bad() -> None:
    """The numbers above are the limits of this config."""
    depths = (SMALL.uop_depth, SMALL.inp_depth, SMALL.wgt_depth, SMALL.acc_depth)
    assert depths == (32, 16, 8, 16)
    assert SMALL.hazard_distance == 4


def is_ordered(stream: Sequence[Instruction], pairs: set[tuple[int, int]]) -> bool:
    """Whether unit order and tokens put an order on every pair of instructions."""
    units = [unit_of(instruction) for instruction in stream]
    before = np.zeros((len(stream), len(stream)), bool)
    for earlier, later in combinations(range(len(stream)), 2):
        before[earlier, later] = units[earlier] == units[later]
    for queue, push in PUSH.items():
        pushes = [i for i, x in enumerate(stream) if units[i] == queue[0] and getattr(x, push)]
        pops = [i for i, x in enumerate(stream) if units[i] == queue[1] and getattr(x, POP[queue])]
        for sent, taken in zip(pushes, pops, strict=True):
            before[sent, taken] = True
    for middle in range(len(stream)):
        before |= np.outer(before[:, middle], before[middle])
    return all(before[pair] for pair in pairs)


def conflicts(case: Case) -> set[tuple[int, int]]:
    """Pairs of instructions that need an order: they share an element, or one is FINISH."""
    accesses = accesses_of(case)
    pairs = set()
    for earlier, later in combinations(range(len(case.stream)), 2):
        (reads, writes), (later_reads, later_writes) = accesses[earlier], accesses[later]
        shared = writes & (later_reads | later_writes) or reads & later_writes
        if shared or later == len(case.stream) - 1:
            pairs.add((earlier, later))
    return pairs


@brief
@given(st.data())
def test_a_missing_token_is_a_race_unless_others_give_the_order(data: st.DataObject) -> None:
    case = data.draw(legal_cases(SMALL))
    queues = [queue for queue in PUSH if tokens(case.stream, queue)]
    queue = data.draw(st.sampled_from(queues))
    sent, taken = data.draw(st.sampled_from(tokens(case.stream, queue)))
    stream = list(case.stream)
    stream[sent] = set_token(stream[sent], PUSH[queue], False)
    stream[taken] = set_token(stream[taken], POP[queue], False)
    broken = build_case(SMALL, case.dram, case.insn_addr, stream)
    dram = broken.dram.copy()
    if is_ordered(stream, conflicts(broken)):
        simulate(SMALL, dram, broken.insn_addr, len(stream))
        model = StreamModel(SMALL, broken.dram.copy())
        model.run(stream)
        np.testing.assert_array_equal(dram, model.dram)
    else:
        # The reader may have come before anything was written at all.
        too_early = "stores stale data|which no load has written"
        unordered = "race: .* no token orders|not ordered after"
        with pytest.raises(SimulationError, match=f"{unordered}|{too_early}"):
            simulate(SMALL, dram, broken.insn_addr, len(stream))


def tokens(stream: Sequence[Instruction], queue: tuple[int, int]) -> list[tuple[int, int]]:
    """(sender, taker) of every token of a queue."""
    units = [unit_of(instruction) for instruction in stream]
    sent = [i for i, x in enumerate(stream) if units[i] == queue[0] and getattr(x, PUSH[queue])]
    taken = [i for i, x in enumerate(stream) if units[i] == queue[1] and getattr(x, POP[queue])]
    return list(zip(sent, taken, strict=True))


@brief
@given(st.data())
def test_memory_that_does_not_exist_is_named(data: st.DataObject) -> None:
    """A load or store of the stream moved over the end of SRAM or DRAM."""
    case = data.draw(legal_cases(SMALL))
    moved = [
        index
        for index, instruction in enumerate(case.stream)
        if isinstance(instruction, Load | Store)
        and instruction.memory != Memory.ACC_8BIT
        and instruction.x_size
        and instruction.y_size
    ]
    index = data.draw(st.sampled_from(moved))
    field = data.draw(st.sampled_from(("sram_base", "dram_base")))
    stream = list(case.stream)
    target = stream[index]
    assert isinstance(target, Load | Store)
    stream[index] = (
        replace(target, sram_base=32)
        if field == "sram_base"
        else replace(target, dram_base=1 << 20)
    )
    broken = build_case(SMALL, case.dram, case.insn_addr, stream)
    with pytest.raises(SimulationError, match="reaches") as failure:
        simulate(SMALL, broken.dram, broken.insn_addr, len(stream))
    assert str(failure.value).startswith(f"instruction {index} ({disassemble(stream[index])})")
