"""The ``net.vta`` file: VTA programs and their DRAM images (docs/architecture.md, "VTA program").

    "LCPVTA01" | u64 n | n bytes of JSON | raw sections

The C++ runtime module reads the same form; both readers refuse the same things.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from lcp_tvm.errors import PackageError

MAGIC = b"LCPVTA01"
VERSION = 2
MAX_HEADER_BYTES = 1 << 26
MAX_DRAM_BYTES = 1 << 32
INSTRUCTION_BYTES = 16
_LENGTH_BYTES = 8
_START = len(MAGIC) + _LENGTH_BYTES


def pack_programs(
    config_json: str, programs: Sequence[Mapping[str, Any]], images: Sequence[bytes]
) -> bytes:
    """Write programs and their initial DRAM images as one ``net.vta``.

    Parameters
    ----------
    config_json : the VTA config, upstream's keys.
    programs : headers as in architecture.md; ``image`` is filled in here.
    images : initial DRAM of each program from address 0 up; at most its ``dram_size`` bytes.
    """
    entries, offset = [], 0
    for program, image in zip(programs, images, strict=True):
        entries.append({**program, "image": [offset, len(image)]})
        offset += len(image)
    header = {"version": VERSION, "config": json.loads(config_json), "programs": entries}
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((MAGIC, len(text).to_bytes(_LENGTH_BYTES, "little"), text, *images))


def parse_programs(data: bytes) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """Header and initial DRAM image of every program.

    Raises
    ------
    PackageError
        The bytes are no ``net.vta``, of a newer version, or corrupt.
    """
    header = read_header(data)
    start = _START + int.from_bytes(data[len(MAGIC) : _START], "little")
    images = []
    for program in header["programs"]:
        offset, size = program["image"]
        if start + offset + size > len(data):
            _refuse(
                f"program {program['symbol']}: its image ends at byte {start + offset + size}, "
                f"the file has {len(data)}"
            )
        images.append(bytes(data[start + offset : start + offset + size]))
    return header, tuple(images)


def read_header(data: bytes) -> dict[str, Any]:
    """Check the JSON header of a ``net.vta`` and return it.

    Raises
    ------
    PackageError
        As `parse_programs`.
    """
    if data[: len(MAGIC)] != MAGIC:
        _refuse(f"it begins with {bytes(data[: len(MAGIC)])!r}, not with {MAGIC!r}")
    size = int.from_bytes(data[len(MAGIC) : _START], "little")
    if len(data) < _START or size > min(MAX_HEADER_BYTES, len(data) - _START):
        _refuse(f"its header has {size} bytes, the file has {len(data)}")
    try:
        header = json.loads(data[_START : _START + size])
    except (ValueError, RecursionError) as error:
        _refuse(f"its header is not JSON: {error}")
    if not isinstance(header, dict):
        _refuse("its header is no JSON object")
    version = header.get("version")
    if version != VERSION:
        _refuse(f"it has version {version!r}, this program reads version {VERSION}")
    _need(header, "config", _is_object, "header")
    _need(header, "programs", _is_objects, "header")
    for program in header["programs"]:
        _check_program(program)
    symbols = [program["symbol"] for program in header["programs"]]
    if len(set(symbols)) != len(symbols):
        _refuse(f"two programs have the same symbol among {symbols}")
    return header


def _check_program(program: Mapping[str, Any]) -> None:
    _need(program, "symbol", _is_text, "program")
    where = f"program {program['symbol']}"
    for key in ("dram_size", "insn_addr", "insn_count"):
        _need(program, key, _is_count, where)
    dram_size = program["dram_size"]
    if dram_size > MAX_DRAM_BYTES:
        _refuse(f"{where}: needs {dram_size} bytes of DRAM, allowed is {MAX_DRAM_BYTES}")
    _need(program, "image", _is_range, where)
    image_size = program["image"][1]
    if image_size > dram_size:
        _refuse(f"{where}: its image has {image_size} bytes, its DRAM {dram_size}")
    end = program["insn_addr"] + program["insn_count"] * INSTRUCTION_BYTES
    if program["insn_addr"] % INSTRUCTION_BYTES or end > image_size:
        _refuse(f"{where}: its instructions end at {end:#x}, its image at {image_size:#x}")
    for key in ("inputs", "outputs", "buffers", "layers"):
        _need(program, key, _is_objects, where)
    for tensor in (*program["inputs"], *program["outputs"]):
        _need(tensor, "name", _is_text, where)
        _need(tensor, "addr", _is_count, f"{where}, tensor {tensor['name']}")
        _need(tensor, "shape", _is_shape, f"{where}, tensor {tensor['name']}")
    for buffer in program["buffers"]:
        _need(buffer, "name", _is_text, where)
        place = f"{where}, buffer {buffer['name']}"
        _need(buffer, "dtype", _is_text, place)
        for key in ("addr", "size"):
            _need(buffer, key, _is_count, place)
        if buffer["addr"] + buffer["size"] > dram_size:
            _refuse(f"{place}: ends at {buffer['addr'] + buffer['size']}, DRAM at {dram_size}")
    for layer in program["layers"]:
        for key in ("name", "kind"):
            _need(layer, key, _is_text, where)
        for key in ("first", "count", "macs", "bound", *({"arm_us"} & layer.keys())):
            _need(layer, key, _is_count, f"{where}, layer {layer['name']}")
        if layer["first"] + layer["count"] > program["insn_count"]:
            _refuse(f"{where}, layer {layer['name']}: ends behind the last instruction")


def _need(values: Mapping[str, Any], key: str, ok: Callable[[Any], bool], where: str) -> None:
    if key not in values or not ok(values[key]):
        _refuse(f"{where}: key '{key}' is {str(values.get(key, 'missing'))[:60]}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 2 <= len(value) <= 4
        and all(_is_count(size) and size > 0 for size in value)
    )


def _refuse(found: str) -> NoReturn:
    raise PackageError(
        f"net.vta: {found}; it is corrupt or from another version, compile the network again"
    )
