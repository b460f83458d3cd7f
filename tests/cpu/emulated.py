"""C programs for ARM boards, run by emulators of their processors where those are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm_ffi

from lcp_tvm.cpu.build import run_zig
from lcp_tvm.cpu.target import Target, parse_target

Array = npt.NDArray[Any]

EMULATED = {
    "arm:pynq": ("qemu-arm-static", Path("/usr/arm-linux-gnueabihf")),
    "arm:rpi3": ("qemu-aarch64-static", Path("/usr/aarch64-linux-gnu")),
    "arm:rpi5": ("qemu-aarch64-static", Path("/usr/aarch64-linux-gnu")),
}
"""The emulator and the C library (Debian's libc6-armhf-cross, libc6-arm64-cross) of a target."""


def run_emulated(text: str, source: str, arguments: Sequence[str], folder: Path) -> None:
    """Build a program of this folder for a target, run it, and see that it succeeds."""
    emulator, library = EMULATED[text]
    if shutil.which(emulator) is None or not library.is_dir():
        pytest.skip(f"needs {emulator} and {library}")
    program = folder / "program"
    build_program(parse_target(text), source, program)
    done = subprocess.run(
        [emulator, "-L", str(library), str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def build_program(target: Target, source: str, program: Path) -> None:
    """Build a program of this folder for a target."""
    headers = Path(tvm_ffi.__file__).parent / "include"
    parts = [f"-I{headers}", str(Path(__file__).with_name(source)), "-rdynamic", "-ldl"]
    run_zig(parts, target, program)


def run_functions(
    text: str, library: Path, calls: Mapping[str, Sequence[Array]], folder: Path
) -> dict[str, Array]:
    """Call functions of a target's library, and return their results.

    Parameters
    ----------
    calls : arguments by function; the last is what the result is before.
    """
    run_emulated(text, "run_functions.c", [str(library), *write_calls(calls, folder)], folder)
    return {
        name: np.fromfile(folder / f"{name}0", tensors[-1].dtype).reshape(tensors[-1].shape)
        for name, tensors in calls.items()
    }


def write_calls(calls: Mapping[str, Sequence[Array]], folder: Path) -> list[str]:
    """Write arguments to files, and return what run_functions.c is told of them."""
    told = []
    for name, tensors in calls.items():
        told += [name, str(len(tensors))]
        for number, values in enumerate(tensors, 1 - len(tensors)):
            path, kind = folder / f"{name}{number}", tvm_ffi.dtype(str(values.dtype))
            values.tofile(path)
            sizes = int(kind.type_code), kind.bits, values.ndim, *values.shape
            told += [str(path), *map(str, sizes)]
    return told
