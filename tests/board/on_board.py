"""A process on an emulated board: does what lines of JSON ask, and answers each with a line.

{"do": "open", "config": "pynq_z1", "options": {"root": ROOT, "memory": "cma"}}
{"do": "load", "file": "net.vta"}
{"do": "run", "symbol": "main", "tensors": ["in.npy", "out.npy"]}    the last one is the result
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tvm_ffi

from lcp_tvm import native
from lcp_tvm.errors import LcpError
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.simulator import load_program_bytes, parse_stats, raise_native, set_board


class Process:
    """What a board's process has: one loaded module."""

    def __init__(self) -> None:
        native.load()
        self.module: Any = None

    def open(self, config: str, options: dict[str, Any]) -> str:
        set_board(load_config(config))
        return str(tvm_ffi.get_global_func("lcp_tvm.board.Open")(json.dumps(options)))

    def probe(self, config: str, options: dict[str, Any], self_test: str) -> list[list[str]]:
        text = load_config(config).to_json() if config else ""
        function = tvm_ffi.get_global_func("lcp_tvm.board.Probe")
        facts: list[list[str]] = json.loads(function(json.dumps(options), text, self_test))
        return facts

    def load(self, file: str) -> str:
        self.module = load_program_bytes(Path(file).read_bytes())
        return ""

    def run(self, symbol: str, tensors: list[str]) -> float:
        return self.time(symbol, tensors)["run_ms"]

    def time(self, symbol: str, tensors: list[str]) -> dict[str, float]:
        arrays = [np.load(name) for name in tensors]
        views = [tvm_ffi.from_dlpack(array) for array in arrays]
        begin = time.perf_counter()
        self.module[symbol](*views)
        call_s = time.perf_counter() - begin
        np.save(tensors[-1], arrays[-1])
        return {"call_s": call_s, "run_ms": parse_stats(self.module["lcp_tvm.stats"](symbol)).ms}


def main() -> None:
    process = Process()
    for line in sys.stdin:
        request = json.loads(line)
        action = getattr(process, request.pop("do"))
        try:
            try:
                answer = {"result": action(**request)}
            except RuntimeError as error:
                raise_native(error)
        except LcpError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
