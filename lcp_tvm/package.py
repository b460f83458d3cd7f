"""The ``.lcp`` file: a zip with ``manifest.json``, ``net.so`` (CPU) and ``net.vta`` (VTA).

Writing gives the same bytes for the same network. Reading trusts nothing: names, number and
sizes of the entries are checked before they are read, and hashes afterwards.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lcp_tvm.errors import InputError, PackageError
from lcp_tvm.manifest import (
    NET_SO,
    NET_VTA,
    File,
    Manifest,
    Noise,
    PictureFormat,
    corrupt,
    manifest_json,
    parse_manifest,
)

if TYPE_CHECKING:
    from lcp_tvm.compiler import Compiled
    from lcp_tvm.network import Preprocess

MANIFEST = "manifest.json"
MAX_SIZES: Mapping[str, int] = {MANIFEST: 1 << 26, NET_SO: 1 << 31, NET_VTA: 1 << 32}

# A zip file has no other notion of "no date" than the first that it can say.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile lets through for damaged files, beside its own error.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package; the code is read when it is asked for."""

    path: Path
    manifest: Manifest

    @property
    def preprocess(self) -> Preprocess:
        """How pictures become the network's input."""
        from lcp_tvm.network import Preprocess

        picture = self.manifest.picture
        return Preprocess(
            size=picture.size,
            mean=picture.mean,
            std=picture.std,
            scale=picture.scale,
            channels=picture.channels,
            resize=picture.resize,
        )

    def read(self, name: str) -> bytes:
        """Read ``net.so`` or ``net.vta``.

        Raises
        ------
        PackageError
            The package has no such entry, or it is not the one the manifest describes.
        """
        file = self.manifest.files.get(name)
        if file is None:
            raise PackageError(f"{self.path}: has no {name}; nothing of this network runs on it")
        with _opened(self.path) as archive:
            data = _read_entry(archive, name, str(self.path))
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise corrupt(str(self.path), f"{name} has another hash than the manifest says")
        return data

    def net_so(self) -> bytes:
        """Read the CPU part, a shared library (see `read`)."""
        return self.read(NET_SO)

    def net_vta(self) -> bytes | None:
        """Read the VTA part (see `read`), or None when the network has none."""
        return self.read(NET_VTA) if NET_VTA in self.manifest.files else None

    def extract(self, folder: Path) -> tuple[Path, Path | None]:
        """Write the code into an existing folder: paths of ``net.so`` and, if any, ``net.vta``."""
        so, vta = folder / NET_SO, folder / NET_VTA
        so.write_bytes(self.net_so())
        program = self.net_vta()
        if program is None:
            return so, None
        vta.write_bytes(program)
        return so, vta


def write_package(compiled: Compiled, path: Path) -> Package:
    """Write a package; ``path`` appears whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    code = {NET_SO: compiled.net_so}
    if compiled.net_vta is not None:
        code[NET_VTA] = compiled.net_vta
    manifest = _manifest(compiled, code)
    entries = {MANIFEST: manifest_json(manifest).encode(), **code}
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name, _NO_DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=6)
    return Package(path, manifest)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes ``path``'s place when the block ends without an error.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "give a file in a folder that exists and is writable"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def read_package(path: Path) -> Package:
    """Open a package and check its manifest and table of contents.

    Raises
    ------
    PackageError
        It is missing, no package, corrupt, or newer than this program.
    """
    with _opened(path) as archive:
        names = [info.filename for info in archive.infolist()]
        if len(set(names)) != len(names) or not {MANIFEST, NET_SO} <= set(names) <= set(MAX_SIZES):
            shown = ", ".join(repr(name)[:40] for name in names[:5]) or "nothing"
            raise PackageError(
                f"{path}: is no .lcp package, it holds {shown}; "
                "make one with 'lcp-tvm compile MODEL -o NET.lcp'"
            )
        manifest = parse_manifest(_read_entry(archive, MANIFEST, str(path)), str(path))
        for name, file in manifest.files.items():
            if name not in names or archive.getinfo(name).file_size != file.size:
                raise corrupt(str(path), f"{name} is missing or has another size")
    if (NET_VTA in manifest.files) != (manifest.config is not None and bool(manifest.stats)):
        raise corrupt(str(path), "its VTA part, config and counters do not go together")
    return Package(path, manifest)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip file; whatever is damaged in it becomes a PackageError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        if not zipfile.is_zipfile(path):
            raise PackageError(
                f"{path}: is no .lcp package (not a zip file, or cut off); "
                "make one with 'lcp-tvm compile MODEL -o NET.lcp'"
            ) from error
        raise corrupt(str(path), f"cannot be unpacked ({error})") from error
    except OSError as error:
        raise PackageError(
            f"{path}: cannot be read ({error.strerror or error}); give the path of a .lcp file"
        ) from error


def _read_entry(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MAX_SIZES[name]:
        raise corrupt(where, f"{name} has {info.file_size} bytes, allowed is {MAX_SIZES[name]}")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise corrupt(where, f"{name} is packed in an unknown way")
    with archive.open(info) as stream:
        return stream.read(info.file_size + 1)


def _manifest(compiled: Compiled, code: Mapping[str, bytes]) -> Manifest:
    network = compiled.network
    preprocess = network.preprocess
    return Manifest(
        name=network.name,
        target=compiled.target.text,
        config=compiled.header.get("config") if NET_VTA in code else None,
        input_name=network.input_name,
        input_shape=network.input_shape,
        picture=PictureFormat(
            size=preprocess.size,
            mean=preprocess.mean,
            std=preprocess.std,
            scale=preprocess.scale,
            channels=preprocess.channels,
            resize=preprocess.resize,
        ),
        labels=network.labels,
        versions={
            "lcp-tvm": metadata.version("lcp-tvm"),
            "tvm": metadata.version("apache-tvm"),
        },
        files={
            name: File(len(data), hashlib.sha256(data).hexdigest()) for name, data in code.items()
        },
        pieces=compiled.pieces,
        reasons=compiled.reasons,
        messages=network.messages + compiled.messages,
        noise=tuple(
            Noise(row.name, row.op, row.input_bits, row.weight_bits, row.output_bits, row.snr_db)
            for row in compiled.noise
        ),
        stats=compiled.stats,
    )
