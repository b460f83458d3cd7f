"""The process that is a board for one session: it loads the runtime, waits, serves, ends.

``python -m lcp_tvm.rpc.board FD CONFIG``: FD is one end of a socket pair, over which the worker
hands over an accepted connection; CONFIG is a VTA config's name or path, or ``-`` for none.

It loads TVM's runtime without the compiler or the Python package: 0.3 s and 46 MB where
``import tvm`` takes 3.8 s and 386 MB beside an installed torch, and a session pays it each time.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

READY = b"R"
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve the one connection that comes over the socket pair."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    handed = socket.socket(fileno=int(sys.argv[1]))
    version = _load_runtime()
    config = _set_board(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="lcp-session-") as folder:
        _register(Path(folder), {"version": version, "config": config, "pid": os.getpid()})
        handed.sendall(READY)
        _, descriptors, _, _ = socket.recv_fds(handed, 1, 1)
        if not descriptors:
            return
        # Ctrl-C in a terminal reaches the whole group; the worker ends its sessions itself.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        import tvm_ffi

        tvm_ffi.get_global_func("rpc.ServerLoop")(descriptors[0])


def _load_runtime() -> str:
    """Load TVM's runtime and our library; the version of ours."""
    # tvm_ffi imports torch wherever it is installed; None makes that import fail at once.
    sys.modules["torch"] = None  # type: ignore[assignment]
    import tvm_ffi

    from lcp_tvm import native

    found = importlib.util.find_spec("tvm")
    folders = [Path(place, "lib") for place in (found and found.submodule_search_locations) or ()]
    load = tvm_ffi.libinfo.load_lib_ctypes
    load("tvm", "tvm_runtime", "RTLD_GLOBAL", extra_lib_paths=folders)
    load("tvm", "tvm_runtime_extra", "RTLD_LOCAL", extra_lib_paths=folders)  # sort, random
    native.load()
    return str(tvm_ffi.get_global_func("lcp_tvm.Version")())


def _set_board(name: str) -> str:
    """Make this process a board with that VTA config; the config's own name."""
    from lcp_tvm.vta.config import load_config
    from lcp_tvm.vta.simulator import set_board

    if name == "-":
        return "none"
    config = load_config(name)
    set_board(config)
    return config.name


def _register(folder: Path, facts: dict[str, Any]) -> None:
    """The functions that a TVM RPC session asks its server for, and our greeting."""
    import tvm_ffi

    def work_path(name: str) -> str:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"{name!r} leaves the session's folder")
        return str(path)

    def load_module(name: str) -> tvm_ffi.Module:
        return tvm_ffi.load_module(work_path(name))

    def hello() -> str:
        return json.dumps(facts)

    tvm_ffi.register_global_func("tvm.rpc.server.workpath", work_path, override=True)
    tvm_ffi.register_global_func("tvm.rpc.server.load_module", load_module, override=True)
    tvm_ffi.register_global_func("lcp_tvm.rpc.hello", hello, override=True)


if __name__ == "__main__":
    main()
