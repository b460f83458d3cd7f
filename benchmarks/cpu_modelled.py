"""Choose kernels for ARM cores by LLVM's model of their pipelines, where there is no board.

    python benchmarks/cpu_modelled.py [CORE...]             writes lcp_tvm/cpu/tuned/CORE.jsonl
    python benchmarks/cpu_modelled.py --count [CORE...]     writes cpu_modelled.csv

`lcp-tvm tune` measures what calls take. This asks llvm-mca (Debian's package llvm, 14.0.6), which
reads the inner loop of a kernel's assembly and knows what the core does in every cycle: what loads
and products wait for, and what begins together. Layers of one kind share a loop, which is read once
for each register tile. The cycles of a step then go into the model that a compile has
(`lcp_tvm/cpu/tile.py`, `choose.py`) in place of its own. Nothing here is measured; what caches do
is in neither. Layers are those of the six networks of docs/cpu.md and of the examples.

``--count`` takes layers of MobileNetV1 and EfficientNet-Lite0 whose choice is another than a
compile's own, one of each kind, and counts the instructions that qemu-user executes in a call of
either kernel, all of it.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tvm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.cpu.blocked import Halo  # noqa: E402
from lcp_tvm.cpu.build import link_shared  # noqa: E402
from lcp_tvm.cpu.choose import direct_cycles, winograd_cycles  # noqa: E402
from lcp_tvm.cpu.core import Core  # noqa: E402
from lcp_tvm.cpu.kernels.conv import Conv, Tile  # noqa: E402
from lcp_tvm.cpu.kernels.winograd import Winograd  # noqa: E402
from lcp_tvm.cpu.processor import Processor  # noqa: E402
from lcp_tvm.cpu.target import Target, parse_target  # noqa: E402
from lcp_tvm.cpu.templates import Choice, choices_of, template_of  # noqa: E402
from lcp_tvm.cpu.tune import jobs_of, tune  # noqa: E402
from lcp_tvm.cpu.tunings import (  # noqa: E402
    SHIPPED,
    Layer,
    Tuning,
    code_of,
    cpu_tunings,
    shipped_tunings,
    store_tuning,
)
from lcp_tvm.frontend.load import load_network  # noqa: E402
from tests.cpu.assembly import Loop, assembly_of, product_loops  # noqa: E402
from tests.cpu.emulated import EMULATED, build_program, write_calls  # noqa: E402
from tests.cpu.judge.networks import NETWORKS, load  # noqa: E402

WHERE = "modelled by llvm-mca 14.0.6"
COUNTED = ("mobilenetv1", "efficientnet-lite0")
EXAMPLES = (
    ROOT / "examples/fashion_mnist/fashion_net.onnx",
    ROOT / "examples/lcp_fashion_mnist/vgg_split2.onnx",
)
ROUNDS = 100
"""Of a loop that are modelled."""

MOST_MACS = 500_000
"""Of rows of a layer whose instructions are counted, unless there is only one row."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A board's core, as LLVM models it.

    Attributes
    ----------
    ghz : the clock of the board, by which cycles are told as times.
    known : cycles of a vector of products, by kind of layer and choice.
    """

    target: Target
    ghz: float
    known: dict[Hashable, float] = field(default_factory=dict)

    @property
    def core(self) -> Core:
        """What kernels know of it."""
        return self.target.processor.core

    def measure(self, conv: Conv, choices: Sequence[Choice], _: float) -> list[float]:
        """Return modelled seconds of a convolution's calls, by choice."""
        return [1e-9 * self.cycles(conv, choice) / self.ghz for choice in choices]

    def cycles(self, conv: Conv, choice: Choice) -> float:
        """Return the cycles of a call."""
        tile, modelled = (
            (choice, direct_cycles) if isinstance(choice, Tile) else (choice.tile, winograd_cycles)
        )
        step = tile.columns * tile.blocks * self.product_cycles(conv, choice)
        return modelled(conv, choice, self.core, step)

    def product_cycles(self, conv: Conv, choice: Choice) -> float:
        """Return the cycles of a vector of products, in a loop that layers of a kind share."""
        kind = conv.kernel, conv.strides, conv.dilation, conv.depthwise, conv.data.lanes
        key = kind, replace(choice, chunk=0) if isinstance(choice, Winograd) else choice
        if key not in self.known:
            made = template_of(choice)[1].kernel("f", conv, choice)
            loops = product_loops(assembly_of(made, self.target.tvm_target()))
            loop = min(loops, key=lambda one: one.per_product)
            self.known[key] = self.round_cycles(loop) / loop.products
        return self.known[key]

    def round_cycles(self, loop: Loop) -> float:
        """Return the cycles of a round of a loop."""
        processor, triple = self.target.processor, str(self.target.tvm_target().attrs["mtriple"])
        # Neither a branch back nor a call on a way that is seldom gone costs anything here.
        body = [_same(line) for line in loop.body if not re.match(r"b(l|x|\.?\w\w)?\s", line)]
        options = [f"-mtriple={triple}", f"-mcpu={processor.mcpu}", f"-iterations={ROUNDS}"]
        done = subprocess.run(
            ["llvm-mca", *options, f"-mattr={','.join(processor.mattr)}"],
            input="\n".join(body),
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"^Total Cycles:\s+(\d+)$", done.stdout, re.MULTILINE)
        assert found is not None, done.stderr
        return int(found[1]) / ROUNDS


PIPELINES = {
    "cortex-a9": Pipeline(parse_target("arm:pynq"), 0.65),
    "cortex-a53": Pipeline(parse_target("arm:rpi3"), 1.2),
    "cortex-a72": Pipeline(parse_target("arm:rpi4"), 1.5),
}


def _same(line: str) -> str:
    """Return an instruction that llvm-mca knows for one of the same work that it does not."""
    line = re.sub(r"^v(ld|st)mia\s+(\w+)!?, ({.*})$", r"v\g<1>1.64 \3, [\2]", line)
    return re.sub(r"^(vc\w\w\.f32\s+\w+), (\w+), #0$", r"\1, \2, \2", line)


def convs_of(processor: Processor, names: Iterable[str] = NETWORKS) -> dict[Layer, Conv]:
    """Return what networks and the examples compute, each layer once."""
    networks = [*map(load, names), *map(load_network, EXAMPLES)]
    return {
        Layer.of(job.conv): job.conv for net in networks for job in jobs_of(net.module, processor)
    }


def write_database(name: str) -> None:
    """Choose for every layer and store it."""
    pipeline = PIPELINES[name]
    for layer, conv in convs_of(pipeline.target.processor).items():
        found = tune(conv, pipeline.core, pipeline.measure, float("inf"))
        ns, model_ns = round(1e9 * found.after_s), round(1e9 * found.before_s)
        cpu = code_of(pipeline.target.processor)
        tuning = Tuning(cpu, WHERE, layer, found.after, ns, model_ns)
        store_tuning(SHIPPED / f"{name}.jsonl", tuning)
        print(name, layer, found.before, found.after, f"{ns / model_ns:.3f}", flush=True)


def count_rows(name: str) -> Iterator[dict[str, str]]:
    """Yield layers of different kinds with what is executed for either choice."""
    pipeline, kinds = PIPELINES[name], set()
    processor = pipeline.target.processor
    known = cpu_tunings(shipped_tunings([processor]), processor)
    for layer, conv in convs_of(pipeline.target.processor, COUNTED).items():
        tuning, kind = known[layer], (layer.kernel, layer.strides, layer.groups > 1)
        before = choices_of(conv, pipeline.core)[0]
        both_direct = isinstance(before, Tile) and isinstance(tuning.choice, Tile)
        if before == tuning.choice or not both_direct or kind in kinds:
            continue
        kinds.add(kind)
        few = _few_rows(conv)
        macs = math.prod(few.kernel) * few.sums * math.prod(few.out.shape)
        counts = [executed(pipeline.target, few, one) / macs for one in (before, tuning.choice)]
        size = f"{layer.outputs}x{layer.height}x{layer.width}"
        yield {
            "core": name,
            "layer": f"{layer.inputs} -> {size}",
            "kernel": f"{layer.kernel[0]}x{layer.kernel[1]}",
            "stride": str(layer.strides[0]),
            "groups": str(layer.groups),
            "modelled_time_ratio": f"{tuning.ns / tuning.model_ns:.3f}",
            "instructions_per_mac": f"{counts[0]:.3f}",
            "instructions_per_mac_modelled": f"{counts[1]:.3f}",
        }


def _few_rows(conv: Conv) -> Conv:
    """Return the first rows of a convolution, with nothing behind it."""
    row = math.prod(conv.kernel) * conv.sums * math.prod(conv.out.shape) // conv.out.rows
    rows = min(conv.out.height, max(1, MOST_MACS // row))
    data = replace(conv.data, height=rows * conv.strides[0] + conv.kernel[0])
    return replace(
        conv, data=data, out=replace(conv.out, height=rows, halo=Halo()), steps=(), maps=()
    )


def executed(target: Target, conv: Conv, choice: Choice) -> int:
    """Return the instructions of a call under qemu-user: what a second call adds."""
    kernel = template_of(choice)[1].kernel("f", conv, choice)
    shapes = [[int(size) for size in one.shape] for one in kernel.ty.params]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        compiled = tvm.compile(tvm.IRModule({"f": kernel}), target=target.tvm_target())
        compiled.mod.write_to_file(str(folder / "f.o"), "o")
        link_shared([folder / "f.o"], target, folder / "f.so")
        build_program(target, "run_functions.c", folder / "program")
        call = write_calls({"f": [np.ones(shape, np.float32) for shape in shapes]}, folder)
        command = [str(folder / "program"), str(folder / "f.so")]
        once, twice = (_counted(target, [*command, *call * times]) for times in (1, 2))
    return twice - once


def _counted(target: Target, command: Sequence[str]) -> int:
    """Return how many instructions a program executes; qemu tells of each."""
    board = "arm:pynq" if target.processor.machine == "armv7l" else "arm:rpi3"
    emulator, library = EMULATED[board]
    options = ["-L", str(library), "-singlestep", "-d", "nochain,exec"]
    with subprocess.Popen([emulator, *options, *command], stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        return sum(line.startswith(b"Trace") for line in running.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cores", nargs="*", metavar="CORE", default=list(PIPELINES))
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    if not options.count:
        for name in options.cores:
            write_database(name)
        return
    with Path(__file__).with_suffix(".csv").open("w", newline="") as stream:
        rows = [row for name in options.cores for row in count_rows(name)]
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
