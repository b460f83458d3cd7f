"""Emulated boards and processes on them, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lcp_tvm.vta.config import load_config
from tests.board.emulated_board import add_udmabuf, make_root

FAKES = Path(__file__).with_name("fakes")
_REPOSITORY = Path(__file__).parents[2]


def build_fake(name: str, output: Path, *options: str) -> None:
    """Compile a library of an emulated board."""
    command = [sys.executable, "-m", "ziglang", "c++", "-shared", "-fPIC", "-O1", *options]
    subprocess.run([*command, str(FAKES / f"{name}.cc"), "-o", str(output)], check=True)


def install(root: Path, memory: str, fakes: Path) -> None:
    """Give a board one source of contiguous memory: "cma", "xrt", "old xrt" or "udmabuf"."""
    match memory:
        case "cma":
            (root / "dev/xlnk").touch()
            (root / "usr/lib/libcma.so").symlink_to(fakes / "cma.so")
        case "xrt" | "old xrt":
            library = fakes / f"{memory.replace(' ', '_')}.so"
            (root / "usr/lib/libxrt_core.so").symlink_to(library)
        case "udmabuf":
            add_udmabuf(root)


class Remote:
    """A process that answers lines of JSON (`on_board`)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._asked: IO[str] = process.stdin
        self._answers: IO[str] = process.stdout

    def ask(self, do: str, **request: Any) -> Any:
        """The result; a WorkerError and the like raise `RemoteError`."""
        self._asked.write(json.dumps({"do": do, **request}) + "\n")
        self._asked.flush()
        answer = json.loads(self._answers.readline())
        if "error" in answer:
            raise RemoteError(answer["error"])
        return answer["result"]


class RemoteError(Exception):
    """What a process on a board refused."""


@contextmanager
def emulated_board(
    root: Path, config: str = "pynq_z1", *, uio: bool = False, poll_s: float = 0.0005
) -> Iterator[Path]:
    """Serve a board in ``root`` until the end of the block.

    Parameters
    ----------
    poll_s : how long its accelerator sleeps before it looks again whether it was started.
    """
    make_root(root, load_config(config), uio=uio)
    command = [sys.executable, "-m", "tests.board.emulated_board", str(root), config, str(poll_s)]
    with subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield root
        finally:
            process.kill()


@contextmanager
def process_on(root: Path) -> Iterator[Remote]:
    """Run a process that thinks it is on the board."""
    command = [sys.executable, "-m", "tests.board.on_board"]
    environment = {**os.environ, "LCP_FAKE_BOARD": str(root)}
    with subprocess.Popen(
        command, cwd=_REPOSITORY, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield Remote(process)
        finally:
            process.kill()
