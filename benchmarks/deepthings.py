"""DeepThings' figures 12 to 14 as we predict them: latency, bytes and throughput on its cluster.

    python benchmarks/deepthings.py

writes benchmarks/deepthings.csv and benchmarks/deepthings.png; it takes a few seconds and wants
nothing but this repository. One frame from each source, all at once: ``latency_s`` is until the
last is done, ``frames_per_second`` what that amounts to, ``mib`` what was sent in all.
``latency_public_s`` counts the multiply-accumulates that the authors' public program executes,
where those are known.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.tables.deepthings import (  # noqa: E402
    DEVICES,
    FRAMEWORKS,
    PUBLIC_MACS,
    Framework,
    grids,
    run,
    seconds,
)

COLORS = dict(zip(FRAMEWORKS, ("tab:gray", "tab:orange", "tab:blue", "tab:green"), strict=True))
Row = dict[str, object]


def main() -> None:
    rows = list(measure())
    path = ROOT / "benchmarks" / "deepthings.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(path.with_suffix(".png"))


def measure() -> Iterator[Row]:
    """Rows of the table: 1 to 6 devices with one source, 6 devices with 2 to 6."""
    for framework in FRAMEWORKS:
        for side in grids(framework):
            for devices in DEVICES:
                yield measure_one(framework, side, devices, 1)
            for sources in DEVICES[1:]:
                yield measure_one(framework, side, 6, sources)


def measure_one(framework: Framework, side: int | None, devices: int, sources: int) -> Row:
    """One row."""
    found = run(framework, devices, side, sources=sources)
    public = None
    if (side, framework == "FTP-WST-S") in PUBLIC_MACS:
        public = seconds(run(framework, devices, side, sources=sources, public=True))
    return {
        "framework": framework,
        "grid": f"{side}x{side}" if side else f"1x{devices}",
        "devices": devices,
        "sources": sources,
        "latency_s": f"{seconds(found):.2f}",
        "latency_public_s": f"{public:.2f}" if public else "",
        "frames_per_second": f"{found.frames_per_second:.3f}",
        "mib": f"{found.bytes_total / 2**20:.2f}",
        "gmac": f"{found.macs / 1e9:.2f}",
        "fallbacks": found.fallbacks,
    }


def draw(path: Path) -> None:
    """Figures 13 and 14: lines are means over the grids, bands their range."""
    figure, (latency, throughput) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for framework in FRAMEWORKS:
        one = [[seconds(run(framework, n, side)) for side in grids(framework)] for n in DEVICES]
        many = [
            [run(framework, 6, side, sources=n).frames_per_second for side in grids(framework)]
            for n in DEVICES
        ]
        line(latency, framework, one)
        line(throughput, framework, many)
    printed(latency, {"MoDNN": [(6, 8.1)], "FTP-WST-S": [(6, 6.8)]})
    printed(
        throughput,
        {
            "MoDNN": [(n, 0.12) for n in DEVICES],
            "FTP-WSH": [(n, 0.11) for n in DEVICES],
            "FTP-WST": [(1, 0.14), (6, 0.20)],
        },
    )
    latency.set(xlabel="devices", ylabel="latency of a frame, s", ylim=(0, None))
    throughput.set(xlabel="sources, 6 devices", ylabel="frames per second", ylim=(0, None))
    latency.legend(title="crosses: printed", frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def line(axes: Axes, framework: Framework, values: list[list[float]]) -> None:
    """A line with its band."""
    means = [sum(some) / len(some) for some in values]
    axes.plot(DEVICES, means, color=COLORS[framework], marker="o", markersize=3, label=framework)
    low, high = [min(some) for some in values], [max(some) for some in values]
    axes.fill_between(DEVICES, low, high, color=COLORS[framework], alpha=0.15, linewidth=0)


def printed(axes: Axes, points: dict[Framework, list[tuple[int, float]]]) -> None:
    """What the paper's text gives."""
    for framework, places in points.items():
        axes.plot(*zip(*places, strict=True), "x", color=COLORS[framework], markersize=7)


if __name__ == "__main__":
    main()
