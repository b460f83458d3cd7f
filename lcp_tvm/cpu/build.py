"""Relax module -> shared library, for this machine or a board's ARM cores.

TVM generates the objects; ziglang, a whole cross toolchain from PyPI, links them for every
target, the host included, so no system compiler is needed. Functions that the module calls
by name (``call_dps_packed``) and does not hold are looked up when the library is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import tvm

from lcp_tvm.cpu.block import block_layouts
from lcp_tvm.cpu.block_int8 import block_int8
from lcp_tvm.cpu.constants import HEADERS, take_constants, write_constants
from lcp_tvm.cpu.crop_early import crop_early
from lcp_tvm.cpu.dot import DOTS
from lcp_tvm.cpu.fuse import fuse_kernels
from lcp_tvm.cpu.memory import lower
from lcp_tvm.cpu.processor import Processor
from lcp_tvm.cpu.target import Target
from lcp_tvm.cpu.templates import Choose, choose
from lcp_tvm.errors import ModelError

# The first link for a target builds the C library's stubs (about 20 s on an idle core).
LINK_TIMEOUT_S = 600.0


def build_module(
    mod: tvm.IRModule, target: Target, path: Path, chooser: Choose | None = None
) -> dict[str, int]:
    """Compile with kernels for the processor and TVM's default pipeline; write a shared library.

    Returns the most bytes that maps, results and scratch of a call take at a time, by function.

    Parameters
    ----------
    mod : Relax module; extern symbols such as ``vta_0`` are resolved when it is run.
    target : the CPU parts' processor is ``target.processor``.
    path : file to write; it appears whole or not at all.
    chooser : how convolutions are computed, if not as the model of the core says.

    Raises
    ------
    ModelError : TVM cannot compile the module, or the linker fails.
    """
    processor = target.processor
    chooser = chooser or partial(choose, core=processor.core)
    try:
        module, constants = take_constants(kernels_of(mod, processor, chooser))
        with target.tvm_target():
            lowered, peak_bytes = lower(module)
        # Functions check what they are called with; kernels have it from them.
        with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}):
            executable = tvm.compile(lowered, target=target.tvm_target(), relax_pipeline=None)
    except (RuntimeError, ValueError, TypeError) as err:
        raise ModelError(
            f"cpu part: TVM cannot compile it for {target.processor.name}: {_last_line(str(err))}"
        ) from err

    def link(output: str, objects: list[str], **_: object) -> None:
        sources = [write_constants(constants, Path(work))] if constants else []
        link_shared([*map(Path, objects), *sources], target, Path(output))

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
        made = Path(work, "net.so")
        executable.export_library(str(made), fcompile=link, workspace_dir=work)
        os.replace(made, path)
    return peak_bytes


def kernels_of(mod: tvm.IRModule, processor: Processor, chooser: Choose) -> tvm.IRModule:
    """Give operators their kernels: those of blocked maps where there are any, else fused ones."""
    integers = block_int8(crop_early(mod), DOTS[processor.name], chooser)
    return fuse_kernels(block_layouts(integers, processor.core.lanes, chooser))


def link_shared(parts: list[Path], target: Target, output: Path) -> None:
    """Link objects, and C sources, into a shared library of ``target.processor``.

    Raises
    ------
    ModelError : the linker is missing, fails, or takes longer than ``LINK_TIMEOUT_S``.
    """
    optimised = ["-O2", "-fno-sanitize=all", f"-I{HEADERS}"]
    run_zig([*optimised, "-shared", "-fPIC", "-s", *map(str, parts), "-lm"], target, output)


def run_zig(arguments: list[str], target: Target, output: Path) -> None:
    """Run ``zig cc`` for the target's processor with these arguments, writing ``output``.

    Raises
    ------
    ModelError : as ``link_shared``.
    """
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target.zig_triple]
    command += [f"-mcpu={target.zig_cpu}", *arguments, "-o", str(output)]
    try:
        with tempfile.TemporaryDirectory() as cache:  # nothing is linked twice
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LINK_TIMEOUT_S,
                check=False,
                env={**os.environ, "ZIG_LOCAL_CACHE_DIR": cache},
            )
    except subprocess.TimeoutExpired as err:
        raise ModelError(
            f"linker: ziglang took more than {LINK_TIMEOUT_S:.0f} s for {target.zig_triple}; "
            "remove its cache (zig env names it) and try again"
        ) from err
    if done.returncode != 0 or not output.is_file():
        raise ModelError(
            f"linker: ziglang failed for {target.zig_triple} (exit status {done.returncode}): "
            f"{_error_line(done.stderr)}"
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _error_line(text: str) -> str:
    """Return the first line that is an error, or else the last."""
    errors = [line.strip() for line in text.splitlines() if "error:" in line]
    return errors[0] if errors else _last_line(text)
