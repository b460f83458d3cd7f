"""Whole networks on the simulated PYNQ: modelled time, compile time, simulation time.

    python benchmarks/networks.py [NETWORK...] > benchmarks/networks.csv

``vta_ms`` is modelled by the simulator's calibrated cycles at the config's clock, summed over
the network's programs; ``gemm_share`` is the network's useful multiply-accumulates over what the
array could do in that time. ``compile_s`` and ``simulate_s`` are this machine's processor time.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from lcp_tvm.compiler import compile_network  # noqa: E402
from lcp_tvm.executor import load_local  # noqa: E402
from lcp_tvm.frontend.onnx import load_onnx  # noqa: E402
from lcp_tvm.targets import parse_targets  # noqa: E402
from lcp_tvm.vta.config import load_config  # noqa: E402
from tests.networks import light_network, resnet18  # noqa: E402

NETWORKS = ("fashion_net", "resnet18", "squeezenet", "resnet50", "vgg19")


def model_file(name: str, folder: Path) -> Path:
    """The network as an ONNX file; random weights but for the bundled one."""
    if name == "fashion_net":
        return ROOT / "examples" / "fashion_mnist" / "fashion_net.onnx"
    path = folder / f"{name}.onnx"
    onnx.save(resnet18() if name == "resnet18" else light_network(name), path)
    return path


def measure(name: str, folder: Path) -> dict[str, object]:
    """One row of the table."""
    network = load_onnx(model_file(name, folder))
    start = time.process_time()
    compiled = compile_network(network, parse_targets("vta"))
    compile_s = time.process_time() - start
    executor = load_local(module.code for module in compiled.modules)
    picture = np.zeros(network.input_shape, dtype=np.float32)
    executor.run(compiled.plan, picture)
    start = time.process_time()
    executor.run(compiled.plan, picture)
    simulate_s = time.process_time() - start

    config = load_config("pynq_z1")
    (module,) = compiled.modules
    programs = module.header["programs"]
    stats = [module.stats[program["symbol"]] for program in programs]
    macs = sum(layer["macs"] for program in programs for layer in program["layers"])
    cycles = sum(entry["cycles"] for entry in stats)
    return {
        "network": name,
        "programs": len(programs),
        "instructions": sum(program["insn_count"] for program in programs),
        "mmacs": round(macs / 1e6, 1),
        "vta_ms": round(sum(entry["ms"] for entry in stats), 2),
        "gemm_share": round(macs / (config.block**2 * cycles), 3),
        "compile_s": round(compile_s, 1),
        "simulate_s": round(simulate_s, 2),
    }


def main() -> None:
    writer = None
    for name in sys.argv[1:] or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, Path(folder))
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
