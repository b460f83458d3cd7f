"""The process that is a board for one session: it loads the runtime, waits, serves, ends.

``python -m lcp_tvm.rpc.board FD CONFIG``: FD is one end of a socket pair, over which the worker
hands over an accepted connection; CONFIG is a VTA config's name or path, or ``-`` for none.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import tvm
import tvm_ffi

from lcp_tvm import native
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.simulator import set_board

READY = b"R"
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve the one connection that comes over the socket pair."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    handed = socket.socket(fileno=int(sys.argv[1]))
    native.load()
    name = sys.argv[2]
    config = None if name == "-" else load_config(name)
    if config is not None:
        set_board(config)
    with tempfile.TemporaryDirectory(prefix="lcp-session-") as folder:
        _register(Path(folder), config.name if config is not None else "none")
        handed.sendall(READY)
        _, descriptors, _, _ = socket.recv_fds(handed, 1, 1)
        if not descriptors:
            return
        # Ctrl-C in a terminal reaches the whole group; the worker ends its sessions itself.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tvm.get_global_func("rpc.ServerLoop")(descriptors[0])


def native_version() -> str:
    """Version of the native library, the part both ends must share."""
    native.load()
    return str(tvm_ffi.get_global_func("lcp_tvm.Version")())


def _register(folder: Path, config: str) -> None:
    """The functions that a TVM RPC session asks its server for, and our greeting."""

    def work_path(name: str) -> str:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"{name!r} leaves the session's folder")
        return str(path)

    def load_module(name: str) -> tvm.runtime.Module:
        return tvm.runtime.load_module(work_path(name))

    def hello() -> str:
        facts = {"version": native_version(), "config": config, "pid": os.getpid()}
        return json.dumps(facts)

    tvm_ffi.register_global_func("tvm.rpc.server.workpath", work_path, override=True)
    tvm_ffi.register_global_func("tvm.rpc.server.load_module", load_module, override=True)
    tvm_ffi.register_global_func("lcp_tvm.rpc.hello", hello, override=True)


if __name__ == "__main__":
    main()
