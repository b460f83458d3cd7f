"""An orchestrator that tests may kill: computes frames for ever and says so, a line each.

python -m tests.rpc.orchestrate PACKAGE HOST:PORT...
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from lcp_tvm.package import read_package
from lcp_tvm.rpc.address import parse_address
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.workers import Workers


def main() -> None:
    package = read_package(Path(sys.argv[1]))
    workers = Workers(tuple(map(parse_address, sys.argv[2:])))
    x = np.zeros(package.manifest.input_shape, np.float32)
    with BlockingCluster(package, workers) as cluster:
        for number, _ in enumerate(cluster.stream(itertools.repeat(x))):
            print(number, flush=True)


if __name__ == "__main__":
    main()
