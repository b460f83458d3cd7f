"""Every kernel, compiled for the boards' ARM cores, gives numpy's numbers under an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tvm

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.build import link_shared
from lcp_tvm.cpu.choose import plans_of, winograd_cycles
from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.pool import Pool
from lcp_tvm.cpu.kernels.winograd import POINTS
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.emulated import EMULATED, run_functions
from tests.cpu.kernels.cases import (
    Case,
    block_case,
    concat_case,
    conv_case,
    dense_case,
    elementwise_case,
    mean_case,
    pool_case,
    unblock_case,
    winograd_case,
)

AROUND = Halo(1, 1, 1, 1)
STEPS = (Step("bias"), Step("scale"), Step("add"), Step("leaky_relu", (0.25,)))
CLIPPED = (Step("bias"), Step("relu"), Step("clip", (0.0, 6.0)))


def cases_of(core: Core) -> Iterator[Case]:
    """One of each kernel and kind, odd in size, with the tiles that the model chooses."""
    rng, lanes = np.random.default_rng(0), core.lanes
    data, out = Blocked(2, 13, 9, 11, lanes, AROUND), Blocked(2, 14, 9, 11, lanes, AROUND)
    full = Conv(data, out, (3, 3), (1, 1), (1, 1), (1, 1), 1, STEPS, (out,))
    convs = [
        full,
        replace(full, data=Blocked(2, 3, 9, 11, 1, AROUND), steps=CLIPPED, maps=()),
        replace(full, out=data, groups=13, steps=CLIPPED, maps=()),
        replace(full, kernel=(1, 1), padding=(0, 0), steps=(), maps=()),
        replace(full, shared=True),
    ]
    for outputs in POINTS:
        plan = min(plans_of(full, outputs, core), key=lambda one: winograd_cycles(full, one, core))
        yield winograd_case(full, plan, rng)
        yield winograd_case(replace(full, shared=True), plan, rng)
    half, twice = Blocked(2, 14, 5, 6, lanes), Blocked(2, 2 * lanes, 9, 11, lanes)
    wide = replace(twice, channels=4 * lanes)
    strided = replace(full, data=replace(wide, halo=AROUND), out=replace(half, channels=2 * lanes))
    convs.append(replace(strided, strides=(2, 2), groups=2, steps=CLIPPED, maps=()))
    yield from (conv_case(conv, choose_tile(conv, core), rng) for conv in convs)
    yield pool_case(Pool(out, half, "max", (3, 3), (2, 2), (1, 1), Halo()), rng)
    yield pool_case(Pool(out, half, "average", (3, 2), (2, 2), (1, 1), AROUND), rng)
    yield mean_case(out, rng)
    yield block_case(out, rng)
    yield unblock_case(out, rng)
    yield elementwise_case(data, replace(data, halo=Halo()), STEPS, (data,), rng)
    yield concat_case([twice, wide], replace(twice, channels=6 * lanes, halo=AROUND), rng)
    yield dense_case(Dense(2, 21, 27, lanes, 2, CLIPPED), rng)


@pytest.mark.parametrize("text", EMULATED)
def test_every_kernel_gives_numpys_numbers_on_a_board(text: str, tmp_path: Path) -> None:
    target = parse_target(text)
    cases = {f"kernel_{i}": case for i, case in enumerate(cases_of(target.processor.core))}
    library = tmp_path / "kernels.so"
    functions = {name: case.make(name) for name, case in cases.items()}
    compiled = tvm.compile(tvm.IRModule(functions), target=target.tvm_target())
    compiled.mod.write_to_file(str(tmp_path / "kernels.o"), "o")
    link_shared([tmp_path / "kernels.o"], target, library)

    calls = {
        name: [*case.arguments, np.full(case.shape, np.nan, np.float32)]
        for name, case in cases.items()
    }
    for name, result in run_functions(text, library, calls, tmp_path).items():
        cases[name].check(result)
