"""``manifest.json`` of a ``.lcp`` file: all that is known about a compiled network but its code.

Reading it needs neither TVM nor the native library, so that a report comes at once.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn

from lcp_tvm.cpu.processor import PROCESSORS
from lcp_tvm.detector import Detector, detector_from
from lcp_tvm.errors import InputError, PackageError

FORMAT = 5
MAX_DIMENSION = 1 << 20
MAX_MODULES = 4096
_MODULE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a function that one processor runs: its operators by name, and why there.

    One on the VTA has the name of its program.
    """

    function: str
    name: str
    device: Literal["vta", "cpu"]
    operators: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise that quantisation adds up to one layer's output; bits are fraction bits."""

    name: str
    op: str
    input_bits: int | None
    weight_bits: int | None
    output_bits: int
    snr_db: float  # infinite where nothing is lost


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What a picture must look like; the fields of `lcp_tvm.network.Preprocess`."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    channels: Literal["RGB", "BGR", "L"]
    resize: Literal["squash", "crop", "pad"]


@dataclass(frozen=True, slots=True)
class File:
    """Size in bytes and hash of an entry of the zip file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Module:
    """What is known of one module: functions of the plan, compiled for one target.

    Attributes
    ----------
    target : of the devices that run it, as ``--target`` takes it.
    processor : that ``so`` was compiled for, one of `lcp_tvm.cpu.processor.PROCESSORS`.
    config : the VTA config in upstream's keys; None where no program is for a VTA.
    so, vta : the code; None for ``vta`` where no program is for a VTA.
    peak_bytes : most that maps and scratch of a call's CPU part take, by function.
    reasons : one line per operator that is not on the VTA.
    stats : the simulator's counters by program, in the form of docs/architecture.md.
    """

    target: str
    processor: str
    functions: tuple[str, ...]
    config: Mapping[str, Any] | None
    so: File
    vta: File | None
    pieces: tuple[Piece, ...]
    peak_bytes: Mapping[str, int]
    reasons: tuple[str, ...]
    stats: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest.

    Attributes
    ----------
    target : as given to ``--target``, with exceptions by device.
    input_shape : [N, C, H, W], of N pictures that are computed together.
    detector : what the output means, of a network that finds boxes.
    versions : of lcp-tvm and tvm, which made the package.
    plan : ``plan.json``.
    modules : by name; the code of module M is ``modules/M.so`` and ``modules/M.vta``.
    messages : what import and quantisation had to say.
    """

    name: str
    target: str
    input_name: str
    input_shape: tuple[int, ...]
    picture: PictureFormat
    labels: tuple[str, ...]
    detector: Detector | None
    versions: Mapping[str, str]
    plan: File
    modules: Mapping[str, Module]
    messages: tuple[str, ...]
    noise: tuple[Noise, ...]

    def vta_ms(self) -> dict[str, float]:
        """Return the simulated time of a call, by function, of what runs on a VTA.

        Of a function that is compiled for several, the time on the first counts.
        """
        found: dict[str, float] = {}
        for module in self.modules.values():
            times: dict[str, float] = {}
            for piece in module.pieces:
                if piece.device == "vta":
                    milliseconds = module.stats[piece.name]["ms"]
                    times[piece.function] = times.get(piece.function, 0.0) + milliseconds
            found = times | found
        return found

    def cpu_peak_bytes(self) -> dict[str, int]:
        """Return the most that a call takes besides its constants, of functions without a VTA.

        Of a function that is compiled for several processors, the largest.
        """
        found: dict[str, int] = {}
        for module in self.modules.values():
            on_vta = {piece.function for piece in module.pieces if piece.device == "vta"}
            for name, size in module.peak_bytes.items():
                if name not in on_vta:
                    found[name] = max(found.get(name, 0), size)
        return found

    @property
    def reasons(self) -> tuple[str, ...]:
        """Those of all modules, each once."""
        return tuple(dict.fromkeys(r for module in self.modules.values() for r in module.reasons))


def manifest_json(manifest: Manifest) -> str:
    """Text of the manifest, the same for the same facts."""
    values = {"format": FORMAT, **asdict(manifest)}
    for row in values["noise"]:
        if not math.isfinite(row["snr_db"]):
            row["snr_db"] = str(row["snr_db"])  # JSON has no infinity
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False)


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Check and read a manifest; ``where`` names the package in errors.

    Raises
    ------
    PackageError
        It is not JSON, of a newer format, or a key is missing or wrong.
    """
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise corrupt(where, f"its manifest is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise corrupt(where, "its manifest is no JSON object")
    found = values.get("format")
    if type(found) is int and found > FORMAT:
        raise PackageError(
            f"{where}: format {found} is newer than {FORMAT}, the newest that this lcp-tvm reads; "
            "update lcp-tvm, or compile the network again with this one"
        )
    if type(found) is int and 0 < found < FORMAT:
        raise PackageError(
            f"{where}: format {found} is older than {FORMAT}, the only one that this lcp-tvm "
            "reads; compile the network again"
        )
    if type(found) is not int or found != FORMAT:
        raise corrupt(where, f"its format is {str(found)[:60]!r}, not {FORMAT}")
    read = _Reader(where)
    return Manifest(
        name=read.get(values, "name", _is_text),
        target=read.get(values, "target", _is_text),
        input_name=read.get(values, "input_name", _is_text),
        input_shape=tuple(read.get(values, "input_shape", _is_shape)),
        picture=_picture(read, read.get(values, "picture", _is_object)),
        labels=tuple(read.get(values, "labels", _is_texts)),
        detector=_detector(read, read.get(values, "detector", _is_optional_object)),
        versions=read.get(values, "versions", _is_text_map),
        plan=_file(read, read.get(values, "plan", _is_object)),
        modules=_modules(read, read.get(values, "modules", _is_object)),
        messages=tuple(read.get(values, "messages", _is_texts)),
        noise=tuple(_noise(read, row) for row in read.get(values, "noise", _is_objects)),
    )


def corrupt(where: str, found: str) -> PackageError:
    """Return the error for a package that cannot be what `write_package` wrote."""
    return PackageError(f"{where}: {found}; the file is corrupt, compile the network again")


@dataclass(frozen=True, slots=True)
class _Reader:
    where: str

    def get(self, values: Mapping[str, Any], key: str, ok: Callable[[Any], bool]) -> Any:
        if key not in values:
            raise corrupt(self.where, f"its manifest has no key '{key}'")
        if not ok(values[key]):
            raise corrupt(self.where, f"its manifest's '{key}' is {str(values[key])[:60]!r}")
        return values[key]


def _picture(read: _Reader, values: Mapping[str, Any]) -> PictureFormat:
    size = read.get(values, "size", lambda v: _is_shape(v) and len(v) == 2)
    return PictureFormat(
        size=(size[0], size[1]),
        mean=tuple(read.get(values, "mean", _is_numbers)),
        std=tuple(read.get(values, "std", lambda v: _is_numbers(v) and all(v))),
        scale=read.get(values, "scale", _is_number),
        channels=read.get(values, "channels", lambda v: v in ("RGB", "BGR", "L")),
        resize=read.get(values, "resize", lambda v: v in ("squash", "crop", "pad")),
    )


def _detector(read: _Reader, values: Mapping[str, Any] | None) -> Detector | None:
    try:
        return None if values is None else detector_from(values, "its manifest's 'detector'")
    except InputError as error:
        raise corrupt(read.where, str(error)) from error


def _modules(read: _Reader, values: Mapping[str, Any]) -> dict[str, Module]:
    if len(values) > MAX_MODULES:
        raise corrupt(read.where, f"its manifest has {len(values)} modules")
    for name in values:
        if not _MODULE_NAME.fullmatch(name):
            raise corrupt(read.where, f"its manifest has a module {name[:60]!r}")
    return {name: _module(read, read.get(values, name, _is_object)) for name in sorted(values)}


def _module(read: _Reader, values: Mapping[str, Any]) -> Module:
    vta = read.get(values, "vta", _is_optional_object)
    module = Module(
        target=read.get(values, "target", _is_text),
        processor=read.get(values, "processor", _is_processor),
        functions=tuple(read.get(values, "functions", _is_names)),
        config=read.get(values, "config", _is_optional_object),
        so=_file(read, read.get(values, "so", _is_object)),
        vta=None if vta is None else _file(read, vta),
        pieces=tuple(_piece(read, row) for row in read.get(values, "pieces", _is_objects)),
        peak_bytes=read.get(values, "peak_bytes", _is_counts),
        reasons=tuple(read.get(values, "reasons", _is_texts)),
        stats=_stats(read, read.get(values, "stats", _is_object)),
    )
    programs = {piece.name for piece in module.pieces if piece.device == "vta"}
    if set(module.peak_bytes) != set(module.functions):
        raise corrupt(read.where, "a module's functions and their memory do not match")
    if programs != set(module.stats):
        raise corrupt(read.where, "a module's programs and counters do not match")
    if len({module.vta is None, module.config is None, not module.stats}) > 1:
        raise corrupt(read.where, "VTA programs, config and counters of a module do not match")
    return module


def _file(read: _Reader, values: Mapping[str, Any]) -> File:
    return File(read.get(values, "size", _is_count), read.get(values, "sha256", _is_text))


def _piece(read: _Reader, row: Mapping[str, Any]) -> Piece:
    return Piece(
        function=read.get(row, "function", _is_text),
        name=read.get(row, "name", _is_text),
        device=read.get(row, "device", lambda v: v in ("vta", "cpu")),
        operators=tuple(read.get(row, "operators", _is_texts)),
        reason=read.get(row, "reason", _is_string),
    )


def _noise(read: _Reader, row: Mapping[str, Any]) -> Noise:
    return Noise(
        name=read.get(row, "name", _is_text),
        op=read.get(row, "op", _is_text),
        input_bits=read.get(row, "input_bits", _is_optional_int),
        weight_bits=read.get(row, "weight_bits", _is_optional_int),
        output_bits=read.get(row, "output_bits", lambda v: type(v) is int),
        snr_db=float(read.get(row, "snr_db", lambda v: _is_number(v) or v in ("inf", "-inf"))),
    )


def _stats(read: _Reader, values: Mapping[str, Any]) -> Mapping[str, Any]:
    for symbol in values:
        program = read.get(values, symbol, _is_object)
        read.get(program, "ms", _is_time)
        for part in (program, *read.get(program, "layers", _is_objects)):
            read.get(part, "cycles", _is_time)
            for unit in ("load", "compute", "store"):
                read.get(read.get(part, "units", _is_object), unit, _is_time)
            for table in ("instructions", "bytes", "rows"):
                read.get(part, table, _is_counts)
            for counter in ("gemm_uops", "alu_uops"):
                read.get(part, counter, _is_count)
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_processor(value: Any) -> bool:
    return isinstance(value, str) and value in PROCESSORS


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_string, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_optional_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_string, value.values()))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_optional_int(value: Any) -> bool:
    return value is None or type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_time(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1e18


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 4
        and all(type(size) is int and 0 < size <= MAX_DIMENSION for size in value)
    )
