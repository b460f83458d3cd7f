"""What an agent is compiled from: TVM's runtime and tvm-ffi as their wheels carry them, and ours.

The wheels have sources of more than a worker needs, and lack some headers that their own sources
name: ``native/board/tvm`` has what stands for those.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lcp_tvm
from lcp_tvm.errors import InputError

# Of TVM's runtime: tensors and threads, the machine that runs Relax modules, and the side of RPC
# that serves; not its caches for language models, nor other devices.
_TVM = (
    *("cpu_device_api", "device_api", "file_utils", "logging", "module", "tensor"),
    *("thread_pool", "threading_backend", "timer", "workspace_pool"),
    "memory/memory_manager",
    *("rpc/rpc_channel", "rpc/rpc_device_api", "rpc/rpc_endpoint", "rpc/rpc_local_session"),
    *("rpc/rpc_module", "rpc/rpc_server_env", "rpc/rpc_session"),
    *("vm/builtin", "vm/bytecode", "vm/executable", "vm/vm"),
)

# Of tvm-ffi: all but what compares, copies, prints and stores compilers' data structures.
_FFI = (
    *("backtrace", "container", "custom_allocator", "dtype", "error", "function", "init_once"),
    *("object", "tensor"),
    *("extra/env_c_api", "extra/env_context", "extra/json_parser", "extra/json_writer"),
    *("extra/library_module", "extra/library_module_dynamic_lib"),
    *("extra/library_module_system_lib", "extra/module"),
)

_OURS = ("agent", "board", "driver", "src", "transport", "worker")
_HEADERS = "include"
_REPLACED = "agent/libraries.cc"  # by board/libraries.cc

# Within tvm-ffi: no stack traces by libbacktrace, which would have to be configured.
DEFINES = ("NDEBUG", "TVM_FFI_USE_LIBBACKTRACE=0", "TVM_FFI_BACKTRACE_ON_SEGFAULT=0")


@dataclass(frozen=True, slots=True)
class Sources:
    """What is compiled, and where it is on this machine.

    Attributes
    ----------
    roots : folders by names that are the same on every machine; all else lies in them.
    files : to compile, in order.
    includes : folders that headers are searched in.
    read : folders that have all that compiling reads.
    """

    roots: Mapping[str, Path]
    files: tuple[Path, ...]
    includes: tuple[Path, ...]
    read: tuple[Path, ...]

    def name(self, path: Path) -> str:
        """Return a file's name that is the same on every machine."""
        root = next(root for root, folder in self.roots.items() if path.is_relative_to(folder))
        return f"{root}/{path.relative_to(self.roots[root]).as_posix()}"

    def digest(self) -> str:
        """Return a SHA-256 of what is compiled and all that it may include, in hexadecimal."""
        total = hashlib.sha256("\n".join(map(self.name, self.files)).encode())
        for folder in self.read:
            for path in sorted(folder.rglob("*")):
                if path.suffix in (".cc", ".h"):
                    data = path.read_bytes()
                    total.update(f"\n{self.name(path)} {len(data)}\n".encode())
                    total.update(data)
        return total.hexdigest()


def find_sources() -> Sources:
    """Return the sources of this installation.

    Raises
    ------
    InputError
        A package is there without its sources.
    """
    tvm, ffi, ours = _package("tvm"), _package("tvm_ffi"), _native()
    runtime, ffi_source = tvm / "src" / "runtime", ffi / "src" / "ffi"
    public = (tvm / "include", ffi / "include", ffi / "3rdparty" / "dlpack" / "include")
    stand_ins = ours / "board" / "tvm" / "include"
    own = [path for folder in _OURS for path in sorted((ours / folder).glob("*.cc"))]
    sources = Sources(
        roots={"tvm": tvm, "tvm_ffi": ffi, "lcp_tvm": ours},
        files=(
            *(runtime / f"{name}.cc" for name in _TVM),
            *(ffi_source / f"{name}.cc" for name in _FFI),
            *(path for path in own if path != ours / _REPLACED),
        ),
        # The runtime asks for "../support" and, from folders in it, "../../support".
        includes=(ours, ours / _HEADERS, stand_ins, stand_ins / "tvm", *public, runtime),
        read=(*public, runtime, ffi_source, *(ours / name for name in (*_OURS, _HEADERS))),
    )
    for path in (*sources.files, *sources.includes):
        if not path.exists():
            raise InputError(
                f"source {path} is missing; agents are made of what apache-tvm 0.27 and "
                "apache-tvm-ffi bring along: install them and lcp-tvm again"
            )
    return sources


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise InputError(f"package {name} is missing; install lcp-tvm again")
    return Path(found.origin).parent


def _native() -> Path:
    """The folder of our sources: in a wheel, or in a checkout."""
    places = [
        Path(folder, name) for folder in lcp_tvm.__path__ for name in ("board/native", "native")
    ]
    for place in places:
        if (place / "board").is_dir():
            return place
    looked = ", ".join(map(str, places))
    raise InputError(f"the native sources are missing (looked in {looked}); install lcp-tvm again")
