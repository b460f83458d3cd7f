"""The accumulator hazard of vta.md: errors, stale values, and where there is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.isa import AluOp, Memory, MicroOp
from tests.native.streams import (
    BLOCK,
    CONFIG,
    IDENTITY,
    Bench,
    acc_through,
    alu,
    finish,
    gemm,
    load,
    store,
)


def repeated(distance: int) -> Bench:
    """Two micro-ops on accumulator 0, `distance` issue slots apart."""
    places = [0, *range(1, distance), 0]
    inp = np.zeros((1, BLOCK), np.int8)
    inp[0] = 3
    return Bench(
        inp=inp, wgt=IDENTITY, uops=tuple(MicroOp(dst=place, src=0, wgt=0) for place in places)
    )


def run_repeated(bench: Bench, **options: Any) -> int:
    count = len(bench.uops)
    bench.run(
        load(Memory.INP, 1),
        load(Memory.WGT, 1, push_next=True),
        load(Memory.UOP, count),
        gemm(reset=True, uop_end=count, pop_prev=True),
        gemm(uop_end=count, push_next=True),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
        **options,
    )
    return int(bench.out(1)[0, 0])


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_reading_back_too_early_is_an_error_or_the_old_value(distance: int) -> None:
    with pytest.raises(SimulationError, match=rf"hazard: .* element 0, written {distance} issue"):
        run_repeated(repeated(distance))
    assert run_repeated(repeated(distance), hazard="stale") == 3
    assert run_repeated(repeated(distance), mode="chisel") == 6


@pytest.mark.parametrize("distance", [4, 5])
def test_reading_back_in_time_is_right(distance: int) -> None:
    assert run_repeated(repeated(distance)) == 6
    assert run_repeated(repeated(distance), hazard="stale") == 6


def test_the_hazard_distance_is_the_configs() -> None:
    bench = repeated(4)
    bench.config = dataclasses.replace(CONFIG, hazard_distance=5)
    with pytest.raises(SimulationError, match="written 4 issue"):
        run_repeated(bench)


def test_the_hazard_spans_the_flattened_loop() -> None:
    """One micro-op, inner loop over 2 elements, outer over 3: read back 2 slots later."""
    bench = Bench(inp=np.full((2, BLOCK), 1, np.int8), wgt=IDENTITY)
    stream = (
        load(Memory.INP, 2),
        load(Memory.WGT, 1, push_next=True),
        load(Memory.UOP, 1),
        gemm(2, reset=True, pop_prev=True),
        gemm(2, iter_out=3, push_next=True),
        store(2, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    with pytest.raises(SimulationError, match="written 2 issue"):
        bench.run(*stream)
    bench.run(*stream, hazard="stale")
    # Slots 0, 2 and 4 write element 0; slot 2 reads slot -1's value, slot 4 that of slot 0.
    assert bench.out(2)[:, 0].tolist() == [2, 2]


def test_the_pipeline_drains_between_instructions() -> None:
    bench = Bench(inp=np.full((1, BLOCK), 1, np.int8), wgt=IDENTITY)
    bench.run(
        load(Memory.INP, 1),
        load(Memory.WGT, 1, push_next=True),
        load(Memory.UOP, 1),
        gemm(reset=True, pop_prev=True),
        gemm(),
        gemm(push_next=True),
        store(1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    assert bench.out(1)[0, 0] == 2


def test_an_alu_may_not_repeat_a_destination_at_any_distance() -> None:
    stream = acc_through(alu(AluOp.ADD, 1, 20), alu(AluOp.ADD, 1, 20, iter_out=2), count=20)
    bench = Bench(acc=np.zeros((20, BLOCK), np.int32))
    with pytest.raises(SimulationError, match=r"written 20 issue .* may not repeat a destination"):
        bench.run(*stream)
    bench.run(*stream, hazard="stale")
    np.testing.assert_array_equal(bench.out(20), 3)  # 20 slots are enough in practice


def test_an_alu_may_not_read_its_own_results() -> None:
    """dst 1..3, src 0..2: a running sum on Chisel, of old values on PYNQ."""
    acc = np.repeat(np.arange(1, 5, dtype=np.int32)[:, None], BLOCK, 1)
    bench = Bench(acc=acc, uops=(MicroOp(1, 0),))
    stream = (
        load(Memory.UOP, 1),
        load(Memory.ACC, 4),
        alu(AluOp.ADD, None, 3, push_next=True),
        store(3, sram=1, pop_prev=True, push_prev=True),
        finish(pop_next=True),
    )
    with pytest.raises(SimulationError, match="may not read its own results"):
        bench.run(*stream)
    bench.run(*stream, hazard="stale")
    assert bench.out(3)[:, 0].tolist() == [3, 5, 7]
    bench.run(*stream, mode="chisel")
    assert bench.out(3)[:, 0].tolist() == [3, 6, 10]
