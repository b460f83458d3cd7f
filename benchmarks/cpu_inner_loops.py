"""Count the instructions of the inner loops of kernels, in LLVM's assembly.

    python -m benchmarks.cpu_inner_loops > benchmarks/cpu_inner_loops.csv

Of the innermost loops of a kernel it takes the one that multiplies most densely: that of whole
tiles. A machine that does nothing but multiply has the limit's instructions for each
multiply-accumulate. SSE needs twice as many, and so does a Cortex-A9 where it cannot multiply by a
lane of a register.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tvm import tirx

from lcp_tvm.cpu.block import VECTORS
from lcp_tvm.cpu.blocked import Blocked, Dtype, Halo
from lcp_tvm.cpu.choose import plans_of, winograd_cycles
from lcp_tvm.cpu.core import CORES, Core
from lcp_tvm.cpu.dot import DOTS, QUAD
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.int8_tile import choose_int8_tile
from lcp_tvm.cpu.kernels.conv import Conv, conv_kernel
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, conv_int8_kernel
from lcp_tvm.cpu.kernels.dense import Dense, dense_kernel
from lcp_tvm.cpu.kernels.dense_int8 import dense_int8_kernel
from lcp_tvm.cpu.kernels.winograd import POINTS, Winograd, winograd_kernel
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile
from tests.cpu.assembly import Loop, assembly_of, product_loops

TARGETS = {
    "cortex-a9": "arm:pynq",
    "cortex-a53": "arm:rpi3",
    "cortex-a72": "arm:rpi4",
    "cortex-a76": "arm:rpi5",
    "x86-64-v2": "cpu:x86-64-v2",
    "x86-64-v3": "cpu:x86-64-v3",
    "x86-64-v4": "cpu:x86-64-v4",
    "x86-64-v4-vnni": "cpu:x86-64-v4-vnni",
}
COLUMNS = "core,kernel,instructions,products,loads,spills,per_product,per_mac,limit_per_mac"
AROUND = Halo(1, 1, 1, 1)
NARROW = (Step("bias"), Step("shift", (9,)), Step("clip", (-128, 127)))


@dataclass(frozen=True, slots=True)
class Subject:
    """A kernel of a template for a core.

    Attributes
    ----------
    make : writes it.
    macs : multiply-accumulates of an instruction that multiplies.
    limit : the least instructions for a multiply-accumulate.
    """

    make: Callable[[], tirx.PrimFunc]
    macs: int
    limit: float

    def inner_loops(self, name: str) -> list[Loop]:
        """Return its inner loops on a core."""
        return product_loops(assembly_of(self.make(), parse_target(TARGETS[name]).tvm_target()))


def convs_of(lanes: int, dtype: Dtype = "float32", picture: int = 1) -> dict[str, Conv]:
    """Return a convolution of each kind; ``picture`` is the lanes of a map of three channels."""
    data = Blocked(1, 64, 28, 28, lanes, AROUND, dtype)
    out = replace(data, halo=Halo())
    three = Blocked(1, 3, 28, 28, picture, AROUND, dtype)
    one, steps = (1, 1), () if dtype == "float32" else NARROW
    return {
        "1x1": Conv(data, out, one, one, (0, 0), one, 1, steps),
        "3x3": Conv(data, out, (3, 3), one, one, one, 1, steps),
        "3x3 of a picture": Conv(three, out, (3, 3), one, one, one, 1, steps),
        "3x3 depthwise": Conv(data, out, (3, 3), one, one, one, 64, steps),
    }


def subjects_of(name: str) -> dict[str, Subject]:
    """Return a kernel of each template for a core."""
    core, dot = CORES[name], DOTS[name]
    made = {}

    def add(kind: str, make: Callable[[], tirx.PrimFunc], lanes: int) -> None:
        made[kind] = Subject(make, lanes, 1 / lanes)

    for kind, conv in convs_of(core.lanes).items():
        add(kind, partial(conv_kernel, "f", conv, choose_tile(conv, core)), core.lanes)
    conv = convs_of(core.lanes)["3x3"]
    for outputs in POINTS:
        make = partial(winograd_kernel, "f", conv, best_plan(conv, outputs, core))
        add(f"Winograd {outputs}x{outputs}", make, core.lanes)
    dense = Dense(1, 512, 1000, core.lanes, VECTORS, ())
    add("dense", partial(dense_kernel, "f", dense), core.lanes)

    # Four inputs at a time are multiplied by one instruction, or by two of half as many.
    macs = QUAD * dot.lanes // (1 if dot.instructions == 1 else 2)
    limit = dot.instructions / (QUAD * dot.lanes)
    for kind, conv in convs_of(dot.lanes, dot.dtype, QUAD).items():
        int8 = Int8Conv.of(conv, dot)
        make = partial(conv_int8_kernel, "f", int8, choose_int8_tile(int8, core))
        if conv.depthwise:
            add(f"int8 {kind}", make, dot.lanes)
        else:
            made[f"int8 {kind}"] = Subject(make, macs, limit)
    dense = Dense(1, 512, 1000, dot.lanes, dot.outputs, NARROW)
    made["int8 dense"] = Subject(partial(dense_int8_kernel, "f", dense, dot), macs, limit)
    return made


def best_plan(conv: Conv, outputs: int, core: Core) -> Winograd:
    """Return the plan for tiles of so many squared results that the model prefers."""
    plans = plans_of(conv, outputs, core)
    return min(plans, key=lambda plan: winograd_cycles(conv, plan, core))


def main() -> None:
    """Write the table."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS.split(","))
    for name in TARGETS:
        for kind, subject in subjects_of(name).items():
            loop = min(subject.inner_loops(name), key=lambda one: one.per_product)
            facts = [loop.instructions, loop.products, loop.loads, loop.spills]
            ratios = [loop.per_product, loop.per_product / subject.macs, subject.limit]
            table.writerow([name, kind, *facts, *(f"{one:.4g}" for one in ratios)])


if __name__ == "__main__":
    main()
