"""The ``.lcp`` file: a zip of a plan and the code of its functions.

    manifest.json     what is known of the network and its modules (`lcp_tvm.manifest`)
    plan.json         tasks, regions, costs (`lcp_tvm.plan`)
    modules/M.so      functions of the plan for one target: the part for the CPU
    modules/M.vta     the VTA programs that it calls, where there are any

Writing gives the same bytes for the same network. Reading trusts nothing: names, number and
sizes of the entries are checked before they are read, and hashes afterwards.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import (
    MAX_MODULES,
    File,
    Manifest,
    Module,
    Noise,
    PictureFormat,
    corrupt,
    manifest_json,
    parse_manifest,
)
from lcp_tvm.module_code import ModuleCode
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.plan_json import MAX_BYTES, parse_plan, plan_json

if TYPE_CHECKING:
    from lcp_tvm.compiler import Compiled
    from lcp_tvm.lower import CompiledModule
    from lcp_tvm.network import Preprocess

MANIFEST, PLAN = "manifest.json", "plan.json"
MAX_ENTRIES = 2 + 2 * MAX_MODULES
MAX_SIZES: Mapping[str, int] = {
    MANIFEST: 1 << 27, PLAN: MAX_BYTES, ".so": 1 << 31, ".vta": 1 << 32
}  # fmt: skip
"""Bytes of an entry by its name or, of a module, by its ending."""

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

    def plan(self) -> Plan:
        """Read the plan.

        Raises
        ------
        PackageError
            It is not the one the manifest describes, or wrong.
        """
        with _opened(self.path) as archive:
            data = self._read(archive, PLAN, self.manifest.plan)
        plan = parse_plan(data, str(self.path))
        functions = {name for module in self.manifest.modules.values() for name in module.functions}
        called = {task.function for task in plan.tasks}
        called |= {task.fallback.function for task in plan.tasks if task.fallback is not None}
        if not called <= functions <= set(plan.functions):
            raise corrupt(str(self.path), "its plan and its modules are not of one network")
        return plan

    def code(self, names: Iterable[str] | None = None) -> tuple[ModuleCode, ...]:
        """Read the code of some modules, or of all.

        Raises
        ------
        PackageError
            It is not the one the manifest describes.
        """
        modules = self.manifest.modules
        with _opened(self.path) as archive:
            return tuple(
                ModuleCode(
                    name,
                    modules[name].functions,
                    self._read(archive, so_entry(name), modules[name].so),
                    self._vta(archive, name),
                )
                for name in (modules if names is None else names)
            )

    def vta(self, name: str) -> bytes | None:
        """Read a module's programs (see `code`), None where there are none."""
        with _opened(self.path) as archive:
            return self._vta(archive, name)

    def _vta(self, archive: zipfile.ZipFile, name: str) -> bytes | None:
        file = self.manifest.modules[name].vta
        return None if file is None else self._read(archive, vta_entry(name), file)

    def _read(self, archive: zipfile.ZipFile, name: str, file: File) -> bytes:
        data = _read_entry(archive, name, str(self.path))
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise corrupt(str(self.path), f"{name} has another hash than the manifest says")
        return data


def so_entry(module: str) -> str:
    """Return the name of a module's part for the CPU."""
    return f"modules/{module}.so"


def vta_entry(module: str) -> str:
    """Return the name of a module's programs."""
    return f"modules/{module}.vta"


def write_package(compiled: Compiled, path: Path) -> Package:
    """Write a package; ``path`` appears whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    plan = plan_json(compiled.plan).encode()
    manifest = _manifest(compiled, plan)
    entries = {MANIFEST: manifest_json(manifest).encode(), PLAN: plan}
    for module in compiled.modules:
        entries[so_entry(module.code.name)] = module.code.so
        if module.code.vta is not None:
            entries[vta_entry(module.code.name)] = module.code.vta
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name, _NO_DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=6)
    return Package(path, manifest)


def read_package(path: Path) -> Package:
    """Open a package and check its manifest and table of contents.

    Raises
    ------
    PackageError
        It is missing, no package, corrupt, or newer than this program.
    """
    with _opened(path) as archive:
        names = [info.filename for info in archive.infolist()[: MAX_ENTRIES + 1]]
        if len(set(names)) != len(names) or len(names) > MAX_ENTRIES or MANIFEST not in names:
            raise _no_package(path, names)
        manifest = parse_manifest(_read_entry(archive, MANIFEST, str(path)), str(path))
        files = _files(manifest)
        if not set(names) <= {MANIFEST, *files}:
            raise _no_package(path, sorted(set(names) - {MANIFEST, *files}))
        for name, file in files.items():
            if name not in names or archive.getinfo(name).file_size != file.size:
                raise corrupt(str(path), f"{name} is missing or has another size")
    return Package(path, manifest)


def _no_package(path: Path, names: Iterable[str]) -> PackageError:
    shown = ", ".join(repr(name)[:40] for name in list(names)[:5]) or "nothing"
    return PackageError(
        f"{path}: is no .lcp package, it holds {shown}; "
        "make one with 'lcp-tvm compile MODEL -o NET.lcp'"
    )


def _files(manifest: Manifest) -> dict[str, File]:
    """All entries that a manifest describes, by their names."""
    files = {PLAN: manifest.plan}
    for name, module in manifest.modules.items():
        files[so_entry(name)] = module.so
        if module.vta is not None:
            files[vta_entry(name)] = module.vta
    return files


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
    most = MAX_SIZES[name if name in MAX_SIZES else Path(name).suffix]
    if info.file_size > most:
        raise corrupt(where, f"{name} has {info.file_size} bytes, allowed is {most}")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise corrupt(where, f"{name} is packed in an unknown way")
    with archive.open(info) as stream:
        return stream.read(info.file_size + 1)


def _manifest(compiled: Compiled, plan: bytes) -> Manifest:
    network = compiled.network
    preprocess = network.preprocess
    return Manifest(
        name=network.name,
        target=compiled.targets.text,
        input_name=network.input_name,
        input_shape=(compiled.frames, *network.input_shape[1:]),
        picture=PictureFormat(
            size=preprocess.size,
            mean=preprocess.mean,
            std=preprocess.std,
            scale=preprocess.scale,
            channels=preprocess.channels,
            resize=preprocess.resize,
        ),
        labels=network.labels,
        detector=network.detector,
        versions={
            "lcp-tvm": metadata.version("lcp-tvm"),
            "tvm": metadata.version("apache-tvm"),
        },
        plan=_file(plan),
        modules={module.code.name: _module(module) for module in compiled.modules},
        messages=network.messages + compiled.messages,
        noise=tuple(
            Noise(row.name, row.op, row.input_bits, row.weight_bits, row.output_bits, row.snr_db)
            for row in compiled.noise
        ),
    )


def _module(module: CompiledModule) -> Module:
    code = module.code
    return Module(
        target=module.target.text,
        processor=module.target.processor.name,
        functions=code.functions,
        config=module.header["config"] if code.vta is not None else None,
        so=_file(code.so),
        vta=None if code.vta is None else _file(code.vta),
        pieces=module.pieces,
        peak_bytes=module.peak_bytes,
        reasons=module.reasons,
        stats=module.stats,
    )


def _file(data: bytes) -> File:
    return File(len(data), hashlib.sha256(data).hexdigest())
