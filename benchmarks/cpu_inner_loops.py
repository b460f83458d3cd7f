"""Count the instructions of the inner loops of convolutions, in LLVM's assembly.

    python -m benchmarks.cpu_inner_loops > benchmarks/cpu_inner_loops.csv

Of the innermost loops of a kernel it takes the one with the most products: that of whole tiles. A
machine that does nothing but multiply has one instruction for a vector of products; SSE and the
steps of a Cortex-A9 that are no products of four inputs need two.
"""

from __future__ import annotations

import csv
import sys

from lcp_tvm.cpu.blocked import Blocked, Halo
from lcp_tvm.cpu.core import CORES
from lcp_tvm.cpu.kernels.conv import Conv, conv_kernel
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.assembly import assembly_of, product_loops

TARGETS = {
    "cortex-a9": "arm:pynq",
    "cortex-a53": "arm:rpi3",
    "cortex-a72": "arm:rpi4",
    "x86-64-v2": "cpu:x86-64-v2",
    "x86-64-v3": "cpu:x86-64-v3",
    "x86-64-v4": "cpu:x86-64-v4",
}
COLUMNS = (
    "core,convolution,columns,blocks,instructions,products,loads,stack,"
    "instructions_per_product,instructions_per_mac,limit_per_mac"
)
AROUND = Halo(1, 1, 1, 1)


def convs_of(lanes: int) -> dict[str, Conv]:
    """Return a convolution of each kind."""
    data, out = Blocked(1, 64, 28, 28, lanes, AROUND), Blocked(1, 64, 28, 28, lanes)
    picture = Blocked(1, 3, 28, 28, 1, AROUND)
    one = (1, 1)
    return {
        "1x1": Conv(data, out, one, one, (0, 0), one, 1, ()),
        "3x3": Conv(data, out, (3, 3), one, one, one, 1, ()),
        "3x3 of a picture": Conv(picture, out, (3, 3), one, one, one, 1, ()),
        "3x3 depthwise": Conv(data, out, (3, 3), one, one, one, 64, ()),
    }


def main() -> None:
    """Write the table."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS.split(","))
    for name, text in TARGETS.items():
        core = CORES[name]
        for kind, conv in convs_of(core.lanes).items():
            tile = choose_tile(conv, core)
            code = assembly_of(conv_kernel("f", conv, tile), parse_target(text).tvm_target())
            loop = max(product_loops(code), key=lambda one: one.products)
            facts = [tile.columns, tile.blocks, loop.instructions, loop.products]
            facts += [loop.loads, loop.stack]
            ratios = [loop.per_product, loop.per_product / core.lanes, 1 / core.lanes]
            table.writerow([name, kind, *facts, *(f"{one:.4g}" for one in ratios)])


if __name__ == "__main__":
    main()
