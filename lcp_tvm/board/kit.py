"""A kit: the agent for a board, and what installs it there, as one archive.

    lcp-agent-pynq_z1/
      lcp-agent  install.sh  uninstall.sh  lcp-agent.service  README  VERSION
      vta.json  self_test.vta     with an accelerator
      licences/...
      SHA256SUMS

The same inputs give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.board.boards import Board
from lcp_tvm.board.licences import licences
from lcp_tvm.board.self_test import self_test
from lcp_tvm.vta.config import load_config

_FILES = ("README", "install.sh", "lcp-agent.service", "uninstall.sh")
_SUMS = "SHA256SUMS"


def write_kit(board: Board, agent: bytes, path: Path) -> None:
    """Write the kit of a board, an archive that tar and gzip read.

    Raises
    ------
    InputError
        The file cannot be written, or the installation lacks a part.
    """
    with atomic_file(path) as stream:
        stream.write(pack_kit(board, agent))


def pack_kit(board: Board, agent: bytes) -> bytes:
    """The kit of a board as bytes.

    Raises
    ------
    InputError
        The installation lacks a part.
    """
    return _archive(f"lcp-agent-{board.name}", _contents(board, agent))


def _contents(board: Board, agent: bytes) -> dict[str, bytes]:
    folder = resources.files("lcp_tvm.board") / "files"
    files = {"lcp-agent": agent, "VERSION": f"{version('lcp-tvm')}\n".encode()}
    files |= {name: (folder / name).read_bytes() for name in _FILES}
    files |= {f"licences/{name}": text for name, text in licences().items()}
    if board.vta is not None:
        config = load_config(board.vta)
        files["vta.json"] = config.to_json().encode()
        files["self_test.vta"] = self_test(config)
    sums = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return {**files, _SUMS: "".join(sums).encode()}


def _archive(top: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{top}/{name}")  # of nobody, at the beginning of time
            entry.size = len(files[name])
            entry.mode = 0o755 if files[name][:2] in (b"\x7fE", b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return packed.getvalue()
