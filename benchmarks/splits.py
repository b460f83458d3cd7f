"""Every split of known networks on the clusters of examples/, as predicted: a CSV and pictures.

    python benchmarks/splits.py

Structures with random weights, which do not matter here. All figures are modelled.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import onnx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compare import compare_plans, plan_all  # noqa: E402
from lcp_tvm.compare_plot import plot_rows  # noqa: E402
from lcp_tvm.frontend.onnx import load_onnx  # noqa: E402
from lcp_tvm.network import Network  # noqa: E402
from lcp_tvm.plan.draw import draw_plan  # noqa: E402
from lcp_tvm.predict.cluster import resized  # noqa: E402
from lcp_tvm.predict.cluster_file import load_cluster  # noqa: E402
from lcp_tvm.relay_passes.network_graph import read_graph  # noqa: E402
from lcp_tvm.relay_passes.split_ftp import split_ftp  # noqa: E402
from lcp_tvm.split_text import Lcp  # noqa: E402
from lcp_tvm.splitting import lcp_network, make_split  # noqa: E402
from tests.networks import light_network, resnet18  # noqa: E402
from tests.tables.yolov2 import yolov2  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".csv")
PICTURES = ROOT / "docs"

NETWORKS = {
    "resnet18": resnet18,
    "resnet50": lambda: light_network("resnet50"),
    "squeezenet": lambda: light_network("squeezenet"),
    "vgg19": lambda: light_network("vgg19"),
}
CLUSTERS = (("rpi3", 6), ("t2-micro-8", 8), ("mixed-8", 8))


def load(name: str) -> Network:
    """Import a network under its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        onnx.save(NETWORKS[name](), path)
        return load_onnx(path)


def draw_examples() -> None:
    """Draw the plans that docs/splits.md shows."""
    tiles = split_ftp(read_graph(yolov2()), "yolov2", (3, 3), 16, reuse=True)
    draw_plan(tiles.plan, PICTURES / "plan_ftp.svg")
    branches = lcp_network(load("resnet18"), Lcp(2))
    split = make_split(read_graph(branches.module), "resnet18", Lcp(2))
    draw_plan(split.plan, PICTURES / "plan_lcp.svg")


def main() -> None:
    draw_examples()
    with OUTPUT.open("w", newline="") as stream:
        writer = None
        for name in NETWORKS:
            network = load(name)
            for file, count in CLUSTERS:
                cluster = resized(load_cluster(ROOT / f"examples/clusters/{file}.toml"), count)
                start = time.process_time()
                plans, _ = plan_all(
                    network, cluster, None, integer=False, progress=lambda what, part: None
                )
                rows = compare_plans(plans, cluster)
                print(f"{name} on {file}: {time.process_time() - start:.1f} s")
                for row in rows:
                    values = {"network": name, "cluster": file, "devices": count, **asdict(row)}
                    writer = writer or csv.DictWriter(stream, list(values), lineterminator="\n")
                    if stream.tell() == 0:
                        writer.writeheader()
                    writer.writerow(
                        {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
                    )
                if (name, file) == ("resnet50", "rpi3"):
                    title = f"{name} on {count} Raspberry Pi 3 over WiFi (modelled)"
                    plot_rows(rows, title, PICTURES / "compare_resnet50.png")


if __name__ == "__main__":
    main()
