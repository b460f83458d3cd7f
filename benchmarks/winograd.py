"""Convolutions of 3x3 by Winograd beside direct ones, each alone, in turns in one process.

    python benchmarks/winograd.py

Layers like those of ResNet-18, VGG16 and SqueezeNet, with bias and ReLU, for this machine: the best
plan of each kind by the model. Times are the thread's own processor time, medians over rounds;
``modelled`` is the direct kernel's cycles over Winograd's by the model, ``measured`` the ratio of
their times. The table goes to ``winograd.csv``.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import tvm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.cpu.blocked import Blocked, Halo  # noqa: E402
from lcp_tvm.cpu.choose import plans_of, weight_cycles, winograd_cycles  # noqa: E402
from lcp_tvm.cpu.core import Core  # noqa: E402
from lcp_tvm.cpu.epilogue import Step  # noqa: E402
from lcp_tvm.cpu.kernels.conv import Conv, conv_kernel, pack_weight  # noqa: E402
from lcp_tvm.cpu.kernels.winograd import POINTS, pack_for_winograd, winograd_kernel  # noqa: E402
from lcp_tvm.cpu.target import parse_target  # noqa: E402
from lcp_tvm.cpu.tile import choose_tile, cycles  # noqa: E402

ROUNDS = 9
LAYERS = (
    (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 14), (64, 64, 56), (128, 128, 28),
    (256, 256, 14), (512, 512, 7), (16, 64, 56), (32, 128, 28), (64, 256, 14),
)  # fmt: skip
"""Channels read and written, rows and columns."""


def main() -> None:
    target = parse_target("cpu")
    core = target.processor.core
    rows = [row for layer in LAYERS for row in rows_of(layer, core, target.tvm_target())]
    with Path(__file__).with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(
    layer: tuple[int, int, int], core: Core, target: tvm.target.Target
) -> list[dict[str, str]]:
    """Measure a layer directly and with tiles of each size."""
    inputs, outputs, size = layer
    around = Halo(1, 1, 1, 1)
    data, out = (Blocked(1, one, size, size, core.lanes, around) for one in (inputs, outputs))
    conv = Conv(data, out, (3, 3), (1, 1), (1, 1), (1, 1), 1, (Step("bias"), Step("relu")))
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(outputs, inputs, 3, 3)).astype(np.float32)
    x = rng.normal(size=data.shape).astype(np.float32)
    bias = rng.normal(size=(out.blocks, out.lanes)).astype(np.float32)

    def program(make: Callable[[str], tvm.tirx.PrimFunc], packed: np.ndarray) -> Callable[[], None]:
        compiled = tvm.compile(tvm.IRModule({"layer": make("layer")}), target=target)
        arguments = [tvm.runtime.tensor(one) for one in (x, packed, bias, np.zeros(out.shape, "f"))]
        return lambda: compiled["layer"](*arguments)

    tile = choose_tile(conv, core)
    plans = {
        m: min(plans_of(conv, m, core), key=lambda one: winograd_cycles(conv, one, core))
        for m in sorted(POINTS)
    }
    programs = {
        0: program(lambda name: conv_kernel(name, conv, tile), pack_weight(conv, tile, weight))
    }
    for m, plan in plans.items():
        packed = pack_for_winograd(conv, plan, weight)
        programs[m] = program(lambda name, plan=plan: winograd_kernel(name, conv, plan), packed)
    times: dict[int, list[float]] = {m: [] for m in programs}
    for _ in range(ROUNDS + 1):  # the first warms up
        for m, run in programs.items():
            begin = time.thread_time()
            run()
            times[m].append((time.thread_time() - begin) * 1e3)
    direct = median(times[0][1:])
    modelled = cycles(conv, tile, core) + weight_cycles(conv, 9)
    rows = []
    for m, plan in plans.items():
        took = median(times[m][1:])
        rows.append(
            {
                "layer": f"{inputs}-{outputs} {size}x{size}",
                "tiles": f"{m}x{m}",
                "direct_ms": f"{direct:.3f}",
                "winograd_ms": f"{took:.3f}",
                "measured": f"{direct / took:.2f}",
                "modelled": f"{modelled / winograd_cycles(conv, plan, core):.2f}",
            }
        )
        print(*rows[-1].values(), flush=True)
    return rows


if __name__ == "__main__":
    main()
