"""The agent for a board: one executable, compiled and linked with ziglang.

TVM's runtime, tvm-ffi and our native library are all in it, and it exports what compiled modules
call. It wants nothing from the board but a C library of glibc 2.27 or newer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.board.boards import Machine
from lcp_tvm.board.sources import DEFINES, Sources, find_sources
from lcp_tvm.cpu.target import Target, parse_target
from lcp_tvm.errors import InputError

Progress = Callable[[str, float], None]

COMPILE_TIMEOUT_S = 900.0
"""For one file, on a busy machine; the first ones wait for ziglang's C and C++ libraries."""

# One agent for all boards of a machine: it runs on the oldest core, and newer ones would gain
# nothing from another, since the code that computes comes with the networks.
_TARGETS: Mapping[Machine, str] = MappingProxyType({"armv7l": "arm:pynq", "aarch64": "arm:rpi3"})

_FLAGS = (
    *("-std=c++17", "-O2", "-fPIE", "-w"),
    *("-fvisibility=hidden", "-fvisibility-inlines-hidden"),
    *("-ffunction-sections", "-fdata-sections"),
    *("-fno-sanitize=all", "-fstack-protector-strong"),
)
# Modules find what they call in the executable that loads them.
_LINK_FLAGS = ("-O2", "-pie", "-rdynamic", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none")
_LIBRARIES = ("-ldl", "-lpthread", "-lm")
_LINK_SHARE = 0.05


def build_agent(machine: Machine, progress: Progress, cache: Path | None = None) -> Path:
    """Compile the agent for a machine, or find it in the cache.

    Parameters
    ----------
    cache : folder to keep it in; None for the user's.

    Returns
    -------
    The executable, in the cache. The same sources give the same bytes, wherever they lie.

    Raises
    ------
    InputError
        Sources are missing or change meanwhile, ziglang fails, or the cache cannot be written.
    """
    progress("reading the sources", 0.0)
    target = parse_target(_TARGETS[machine])
    sources = find_sources()
    digest = sources.digest()
    kept = (cache or _user_cache()) / _key(digest, target) / "lcp-agent"
    if kept.is_file():
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        lock_file = (kept.parent / "lock").open("w")
    except OSError as error:
        raise InputError(
            f"cache {kept.parent}: cannot be made ({error.strerror}); "
            "set XDG_CACHE_HOME to a folder that is writable"
        ) from error
    with lock_file as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes meanwhile waits, and finds it
        if not kept.is_file():
            with tempfile.TemporaryDirectory() as work:
                _build(sources, digest, target, Path(work), progress, kept)
    return kept


def _build(
    sources: Sources, digest: str, target: Target, work: Path, progress: Progress, kept: Path
) -> None:
    agent = work / "lcp-agent"
    objects = compile_all(sources, target, work, progress)
    progress("linking", 1.0 - _LINK_SHARE)
    _zig(target, [*_LINK_FLAGS, *map(str, objects), *_LIBRARIES], agent, "linking the agent")
    if sources.digest() != digest:
        raise InputError("the sources changed while they were compiled; run it again")
    with atomic_file(kept) as stream:
        os.fchmod(stream.fileno(), 0o755)
        stream.write(agent.read_bytes())


def compile_all(sources: Sources, target: Target, work: Path, progress: Progress) -> list[Path]:
    """Compile every file, one on each core; the objects in ``work``, in the sources' order."""
    flags = [*_FLAGS, *(f"-D{name}" for name in DEFINES)]
    flags += [f"-I{folder}" for folder in sources.includes]
    # Messages name their source file: not where it lies on this machine.
    flags += [f"-ffile-prefix-map={folder}={name}" for name, folder in sources.roots.items()]

    def compile_one(source: Path) -> Path:
        made = work / f"{sources.name(source).replace('/', '.')}.o"
        _zig(target, [*flags, "-c", str(source)], made, f"compiling {source}")
        return made

    count = len(sources.files)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = [pool.submit(compile_one, source) for source in sources.files]
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, 1.0, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                ready = count - len(waiting)
                progress(f"compiling {ready}/{count}", (1.0 - _LINK_SHARE) * ready / count)
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _zig(target: Target, arguments: list[str], output: Path, what: str) -> None:
    command = [sys.executable, "-m", "ziglang", "c++", "-target", target.zig_triple]
    command += [f"-mcpu={target.zig_cpu}", *arguments, "-o", str(output)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{what}: ziglang took more than {COMPILE_TIMEOUT_S:.0f} s; try again on a machine "
            "with less to do"
        ) from error
    if done.returncode != 0 or not output.is_file():
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise InputError(
            f"{what}: ziglang failed (exit status {done.returncode}): "
            f"{(errors or done.stderr.splitlines() or ['no message'])[0].strip()}"
        )


def _key(digest: str, target: Target) -> str:
    """Return what is the same only for the same agent."""
    inputs = {
        "sources": digest,
        "flags": [*_FLAGS, *DEFINES, *_LINK_FLAGS, *_LIBRARIES],
        "target": [target.zig_triple, target.zig_cpu],
        "ziglang": version("ziglang"),
    }
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "lcp-tvm", "agents")
