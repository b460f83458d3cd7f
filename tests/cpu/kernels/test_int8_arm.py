"""Kernels of quantised maps compute the same integers on emulated ARM cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tvm

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.build import link_shared
from lcp_tvm.cpu.dot import DOTS, QUAD, Dot
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.pool import Pool
from lcp_tvm.cpu.target import parse_target
from tests.cpu.emulated import run_functions
from tests.cpu.kernels.int8_cases import (
    Int8Case,
    Numbers,
    conv_case,
    dense_case,
    elementwise_case,
    pool_case,
    quantise_case,
    sum_case,
)

BOARDS = {"arm:pynq": "cortex-a9", "arm:rpi3": "cortex-a53", "arm:rpi5": "cortex-a76"}
"""Without and with dot products."""

SHIFT, NARROW = Step("shift", (9,)), Step("clip", (-128, 127))
STEPS = (Step("bias"), SHIFT, Step("leaky_relu", (3, 16, 5)), NARROW)
SUM = (Step("bias"), Step("add", (7,)), SHIFT, NARROW)


def cases(dot: Dot) -> Mapping[str, Int8Case]:
    """Return kernels of all kinds."""

    def layout(channels: int, size: int, around: int = 0, lanes: int = dot.lanes) -> Blocked:
        return Blocked(1, channels, size, size, lanes, Halo(*[around] * 4), dot.dtype)

    def conv(data: Blocked, out: Blocked, stride: int = 1, groups: int = 1) -> Int8Conv:
        return Int8Conv(data, out, (3, 3), (stride,) * 2, (1, 1), (1, 1), groups, STEPS, dot=dot)

    rng = np.random.default_rng(0)
    any_, extreme = Numbers(rng, extreme=False), Numbers(rng, extreme=True)
    plain = conv(layout(16, 6, 1), layout(10, 6))
    added = replace(plain, steps=SUM, maps=(layout(10, 6, 2),))
    deep = conv(layout(18, 5, 1), layout(18, 5, 1), groups=18)
    return {
        "conv": conv_case(plain, Int8Tile(4, 1), any_),
        "extreme": conv_case(plain, Int8Tile(3, 1), extreme),
        "added": conv_case(added, Int8Tile(2, 1), any_),
        "picture": conv_case(
            conv(layout(3, 9, 1, QUAD), layout(16, 5), 2), Int8Tile(2, 2), extreme
        ),
        "deep": conv_case(deep, Int8Tile(4, 1), extreme),
        "dense": dense_case(
            Dense(1, 23, 11, dot.lanes, 2, (Step("bias"), SHIFT, NARROW)), dot, extreme
        ),
        "elementwise": elementwise_case(layout(9, 4), layout(9, 4, 1), SUM, (layout(9, 4),), any_),
        "sum": sum_case(
            layout(9, 4), layout(9, 1), (Step("multiply", (97,)), Step("bias"), SHIFT, NARROW), any_
        ),
        "pool": pool_case(
            Pool(layout(9, 7), layout(9, 4), "max", (3, 3), (2, 2), (1, 1), Halo()), extreme
        ),
        "quantise": quantise_case(layout(3, 7, 1, QUAD), dot.lanes, any_),
    }


@pytest.mark.parametrize("board", BOARDS)
def test_kernels_give_numpys_integers(board: str, tmp_path: Path) -> None:
    target, made = parse_target(board), cases(DOTS[BOARDS[board]])
    module = tvm.IRModule({name: case.make(name) for name, case in made.items()})
    compiled = tvm.compile(module, target=target.tvm_target())
    library = tmp_path / "kernels.so"
    compiled.export_library(
        str(library),
        fcompile=lambda output, objects, **_: link_shared(
            [Path(one) for one in objects], target, Path(output)
        ),
    )
    calls = {name: [*case.arguments, case.empty()] for name, case in made.items()}
    for name, result in run_functions(board, library, calls, tmp_path).items():
        made[name].check(result)
