"""What shifts in place of a multiplication cost leaky ReLU: noise of YOLOv2's first 16 layers.

    python benchmarks/leaky_relu.py

Writes ``leaky_relu.csv``. Random weights, pictures of noise with a photograph's spectrum (1/f).
``snr_db`` is the float output's power over that of the error, after twelve leaky ReLUs of slope
0.1; "exact" has that slope in float between int8 tensors. ``worst_steps`` is how far the slope
alone moves an output whose input is -128 steps.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.network import Network, Preprocess  # noqa: E402
from lcp_tvm.quantise.flow import quantise  # noqa: E402
from lcp_tvm.quantise.graph import Emit, op_name, rebuild  # noqa: E402
from lcp_tvm.quantise.noise import decibels  # noqa: E402
from lcp_tvm.relay_passes.lower_qdq import lower_qdq  # noqa: E402
from tests.reference import evaluate  # noqa: E402
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
SIZE, SLOPE = 208, 0.1
SLOPES = {"1/8": 1 / 8, "3/32": 3 / 32, "13/128": 13 / 128}


def picture(rng: np.random.Generator) -> np.ndarray:
    """Noise [3, SIZE, SIZE] whose amplitude falls with frequency."""
    side = np.fft.fftfreq(SIZE)
    frequency = np.hypot(*np.meshgrid(side, side))
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.normal(size=(3, SIZE, SIZE))) / frequency
    image = np.fft.ifft2(spectrum).real
    return ((image - image.mean()) / image.std()).astype(np.float32)


def with_slope(module: tvm.IRModule, alpha: float) -> tvm.IRModule:
    """The network with another leaky ReLU."""

    def rewrite(name: str, expr: relax.Expr, emit: Emit) -> relax.Expr:
        leaky = op_name(expr) == "nn.leakyrelu"
        return emit(R.nn.leakyrelu(expr.args[0], alpha) if leaky else expr, name)

    return rebuild(module, rewrite)


def main() -> None:
    rng = np.random.default_rng(0)
    shape = (1, 3, SIZE, SIZE)
    network = Network("yolov2", yolov2(SIZE), "image", shape, Preprocess((SIZE, SIZE)))
    quantised = quantise(network, np.stack([picture(rng) for _ in range(4)])).module
    pictures = [picture(rng)[None] for _ in range(2)]
    expected = [evaluate(network.module, x) for x in pictures]
    signal = sum(float(np.sum(y**2)) for y in expected)

    def row(name: str, module: tvm.IRModule, slope: float) -> dict[str, object]:
        noise = sum(
            float(np.sum((evaluate(module, x) - y) ** 2))
            for x, y in zip(pictures, expected, strict=True)
        )
        worst = 128 * abs(slope - SLOPE)
        return {
            "slope": name,
            "snr_db": round(decibels(signal, noise), 2),
            "worst_steps": round(worst, 2),
        }

    rows = [row("exact", quantised, SLOPE)]
    for name, slope in SLOPES.items():
        rows.append(row(name, lower_qdq(with_slope(quantised, slope)), slope))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    print(text.getvalue(), end="")
    OUTPUT.write_text(text.getvalue())


if __name__ == "__main__":
    main()
