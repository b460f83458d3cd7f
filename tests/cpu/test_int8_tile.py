"""The register tile of a quantised convolution."""

from __future__ import annotations

import pytest

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.dot import DOTS, QUAD
from lcp_tvm.cpu.int8_tile import choose_int8_tile, int8_tiles_of
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv


@pytest.mark.parametrize("name", DOTS)
@pytest.mark.parametrize("size", [1, 3, 5, 7, 11, 31])
def test_there_is_a_tile_for_a_picture_whatever_the_kernel(name: str, size: int) -> None:
    dot, around = DOTS[name], Halo(*[size // 2] * 4)
    conv = Int8Conv(
        Blocked(1, 3, 64, 64, QUAD, around, dot.dtype),
        Blocked(1, 64, 32, 32, dot.lanes, Halo(), dot.dtype),
        *((size, size), (2, 2), (size // 2, size // 2), (1, 1), 1, ()),
        dot=dot,
    )
    assert choose_int8_tile(conv, CORES[name]) in set(int8_tiles_of(conv, CORES[name]))
