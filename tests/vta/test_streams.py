"""Random streams: the simulator computes what the numpy model computes, and refuses the rest."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.isa import Finish, Instruction, disassemble
from lcp_tvm.vta.simulator import Stats, simulate
from tests.vta.configs import SMALL, SMALL_ROWS, SMALL_WIDE, configs
from tests.vta.instructions import instructions
from tests.vta.stream_model import StreamModel
from tests.vta.streams import POP, PUSH, Case, build_case, legal_cases, set_token, unit_of

brief = settings(max_examples=60)
all_arrays = pytest.mark.parametrize(
    "config", [SMALL, SMALL_WIDE, SMALL_ROWS], ids=lambda config: str(config.name)
)


def run(
    case: Case, hazard: Literal["error", "stale"] = "error"
) -> tuple[npt.NDArray[np.uint8], Stats]:
    """DRAM after the run, and what it cost."""
    dram = case.dram.copy()
    stats = simulate(case.config, dram, case.insn_addr, len(case.stream), hazard=hazard)
    return dram, stats


@all_arrays
@brief
@given(data=st.data())
def test_legal_streams_compute_what_the_model_computes(
    config: VtaConfig, data: st.DataObject
) -> None:
    case = data.draw(legal_cases(config))
    model = StreamModel(config, case.dram.copy())
    model.run(case.stream)
    dram, stats = run(case)
    np.testing.assert_array_equal(dram, model.dram)
    assert (stats.gemm_uops, stats.alu_uops) == (model.gemm_uops, model.alu_uops)
    assert sum(stats.instructions.values()) == len(case.stream)
    assert nonzero(stats.bytes) == nonzero(model.bytes)
    assert stats.cycles >= max(stats.units.values())


def nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


@brief
@given(legal_cases(SMALL))
def test_stale_values_make_no_difference_to_legal_streams(case: Case) -> None:
    np.testing.assert_array_equal(run(case, "stale")[0], run(case)[0])


@brief
@given(legal_cases(SMALL))
def test_runs_repeat_exactly(case: Case) -> None:
    first, second = run(case), run(case)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def changed(case: Case, stream: tuple[Instruction, ...]) -> Case:
    return build_case(case.config, case.dram, case.insn_addr, stream)


def tokens_of(case: Case, sides: Mapping[tuple[int, int], str], end: int) -> list[tuple[int, str]]:
    """(instruction, flag) of all tokens that are sent (end 0) or waited for (end 1)."""
    return [
        (index, flag)
        for index, instruction in enumerate(case.stream)
        for queue, flag in sides.items()
        if unit_of(instruction) == queue[end] and getattr(instruction, flag)
    ]


def without(case: Case, index: int, flag: str) -> Case:
    stream = list(case.stream)
    stream[index] = set_token(stream[index], flag, False)
    return changed(case, tuple(stream))


@brief
@given(st.data())
def test_a_token_that_is_never_sent_is_a_deadlock(data: st.DataObject) -> None:
    case = data.draw(legal_cases(SMALL))
    index, flag = data.draw(st.sampled_from(tokens_of(case, PUSH, 0)))
    with pytest.raises(SimulationError, match=r"(?s)deadlock.*instruction \d+ \([A-Z]+"):
        run(without(case, index, flag))


@brief
@given(st.data())
def test_a_token_that_is_never_taken_is_refused(data: st.DataObject) -> None:
    case = data.draw(legal_cases(SMALL))
    index, flag = data.draw(st.sampled_from(tokens_of(case, POP, 1)))
    with pytest.raises(SimulationError):
        run(without(case, index, flag))


@brief
@given(legal_cases(SMALL))
def test_a_stream_without_finish_is_refused(case: Case) -> None:
    last = len(case.stream) - 2
    name = f"instruction {last} ({disassemble(case.stream[last])})"
    with pytest.raises(SimulationError) as failure:
        run(changed(case, case.stream[:-1]))
    assert str(failure.value) == f"{name} is the last instruction; it must be FINISH"


def outcome(case: Case) -> tuple[str, bytes]:
    """Message of the refusal, or nothing; DRAM afterwards."""
    dram = case.dram.copy()
    try:
        simulate(case.config, dram, case.insn_addr, len(case.stream))
    except SimulationError as error:
        return str(error), dram.tobytes()
    return "", dram.tobytes()


@brief
@given(st.data())
def test_any_flipped_bit_runs_or_is_refused(data: st.DataObject) -> None:
    case = data.draw(legal_cases(SMALL, max_size=6))
    dram = case.dram.copy()
    bit = data.draw(st.integers(0, 128 * len(case.stream) - 1))
    dram[case.insn_addr + bit // 8] ^= 1 << bit % 8
    broken = dataclasses.replace(case, dram=dram)
    assert outcome(broken) == outcome(broken)


@brief
@given(configs(), st.integers(0, 40), st.data())
def test_random_bytes_run_or_are_refused(
    config: VtaConfig, count: int, data: st.DataObject
) -> None:
    dram = np.frombuffer(data.draw(st.binary(min_size=16, max_size=640)), np.uint8)
    with contextlib.suppress(SimulationError):
        simulate(config, dram.copy(), 16 * (count % 3), count)


@brief
@given(st.data(), configs())
def test_the_simulator_names_instructions_as_the_disassembler_does(
    data: st.DataObject, config: VtaConfig
) -> None:
    """Python's encoder and text meet the C++ decoder and text."""
    instruction = data.draw(instructions(config))
    assume(not isinstance(instruction, Finish))
    case = build_case(config, np.zeros(0, np.uint8), 0, [instruction])
    message, _ = outcome(case)
    assert message.startswith(f"instruction 0 ({disassemble(instruction)}) ")
