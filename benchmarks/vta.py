"""Whole networks against the limits of the PYNQ's VTA, in its simulator's calibrated cycles.

    python benchmarks/vta.py [ROW...]

Writes ``vta.csv`` when all rows are measured. ``ms`` a frame is simulated, hazards and races as
errors; ``bound_ms`` is the sum over layers of max(compute, load, store), every byte moved once
(`lcp_tvm/vta/bound.py`); ``required`` is what we ask of ourselves, in ms or as a share of the
bound; ``arm_ms`` is ``ms`` with all depthwise layers on the ARM core, as modelled
(docs/predictor.md); ``upstream_ms`` what upstream VTA's tuned schedules take in the same model.
``compile_s`` is processor time, nothing cached.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from tvm.relax import op as R

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compiler import Compiled, compile_network  # noqa: E402
from lcp_tvm.frontend.export import to_onnx  # noqa: E402
from lcp_tvm.frontend.onnx import load_onnx  # noqa: E402
from lcp_tvm.split_text import parse_split  # noqa: E402
from lcp_tvm.targets import parse_targets  # noqa: E402
from lcp_tvm.vta.config import load_config  # noqa: E402
from tests.networks import (  # noqa: E402
    efficientnet_lite0,
    light_network,
    mobilenet,
    resnet18,
    vgg16,
)
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
CONFIG = load_config("pynq_z1")

LESS = "less than arm_ms"
"""What is required where depthwise layers could be the ARM core's."""

Layer = dict[str, Any]
"""An entry of a program's header, with the cycles it took."""


@dataclass(frozen=True, slots=True)
class Row:
    """A network, which of its layers count, and what is required of them."""

    name: str
    network: Callable[[], onnx.ModelProto]
    counts: Callable[[Layer], bool]
    required: str
    upstream_ms: float | None = None
    split: str | None = None
    frames: int = 1

    def met(self, ms: float, bound_ms: float, arm_ms: float) -> bool:
        """Whether ``ms`` is as required: at most so many ms, less than with the ARM core, or near
        enough to the bound.
        """
        if self.required == LESS:
            return ms < arm_ms
        if self.required.endswith("ms"):
            return ms <= float(self.required.removesuffix(" ms"))
        return bound_ms / ms >= float(self.required.removesuffix(" %")) / 100


def everything(_: Layer) -> bool:
    return True


def offloaded(layer: Layer) -> bool:
    """The convolutions that upstream has on VTA: all but the first."""
    return layer["kind"] == "conv2d" and not layer["name"].startswith("conv1_")


def convolution(layer: Layer) -> bool:
    return layer["kind"] == "conv2d"


ROWS = (
    Row("resnet18 convolutions", resnet18, offloaded, "84 ms", 92.8),
    Row("resnet18", resnet18, everything, "99 ms", 420.0),
    Row("resnet18 lcp:2, a branch", resnet18, everything, "32 ms", split="lcp:2"),
    Row("resnet18, 4 frames a program", resnet18, everything, "92 ms", frames=4),
    Row("resnet50", lambda: light_network("resnet50"), everything, "88 %"),
    Row("vgg16 convolutions", vgg16, convolution, "93 %"),
    Row("yolov2, first 16 layers, 416x416", lambda: to_onnx(yolov2(416)), everything, "85 %"),
    Row(
        "the same with ReLU",
        lambda: to_onnx(yolov2(416, activation=R.nn.relu)),
        everything,
        "85 %",
    ),
    Row("mobilenetv1", mobilenet, everything, LESS),
    Row("efficientnet-lite0", efficientnet_lite0, everything, LESS),
)


def measure(row: Row) -> dict[str, object]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(row.network(), path)
        network = load_onnx(path)
    begin = time.process_time()
    split = parse_split(row.split) if row.split else None
    compiled = compile_network(network, parse_targets("vta"), split=split, frames=row.frames)
    compile_s = time.process_time() - begin
    layers = [layer for layer in _layers(compiled, first=split is not None) if row.counts(layer)]
    frame_ms = 1e3 * CONFIG.clock_mhz * row.frames
    ms = sum(layer["cycles"] for layer in layers) / frame_ms
    bound_ms = sum(layer["bound"] for layer in layers) / frame_ms
    on_arm = (
        layer["arm_us"] * CONFIG.clock_mhz if "arm_us" in layer else layer["cycles"]
        for layer in layers
    )
    arm_ms = sum(on_arm) / frame_ms
    return {
        "row": row.name,
        "layers": len(layers),
        "instructions": sum(layer["count"] for layer in layers),
        "ms": round(ms, 2),
        "bound_ms": round(bound_ms, 2),
        "of_bound": round(bound_ms / ms, 3),
        "required": row.required,
        "met": "yes" if row.met(ms, bound_ms, arm_ms) else "no",
        "arm_ms": round(arm_ms, 2) if row.required == LESS else "",
        "upstream_ms": row.upstream_ms or "",
        "compile_s": round(compile_s, 1),
    }


def _layers(compiled: Compiled, *, first: bool) -> Iterator[Layer]:
    """Layers of all modules, or of the first that has any; a launch counts as a layer."""
    for module in compiled.modules:
        if not module.stats:
            continue
        for program in module.header["programs"]:
            stats = module.stats[program["symbol"]]
            yield from (
                {**layer, "cycles": counted["cycles"]}
                for layer, counted in zip(program["layers"], stats["layers"], strict=True)
            )
            launch = stats["ms"] * 1e3 * CONFIG.clock_mhz - stats["cycles"]
            yield {"name": "", "kind": "launch", "cycles": launch, "bound": 0, "count": 0}
        if first:
            return


def main() -> None:
    rows = [measure(row) for row in ROWS if not sys.argv[1:] or row.name in sys.argv[1:]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    print(text.getvalue(), end="")
    if len(rows) == len(ROWS):
        OUTPUT.write_text(text.getvalue())


if __name__ == "__main__":
    main()
