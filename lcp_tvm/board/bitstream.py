"""Bitstreams: what a .bit file says of itself, and the form that the kernel's FPGA manager takes.

A .bit file is a header of tagged texts (design, part, date, time) and the configuration data. The
FPGA manager wants the data alone, the bytes of every 32-bit word in the other order.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lcp_tvm.bounded_file import read_bounded
from lcp_tvm.errors import ConfigError, InputError
from lcp_tvm.vta.config import VtaConfig

MAX_BYTES = 64 << 20
"""No part that we know has so much configuration data."""

PARTS: Mapping[str, str] = MappingProxyType(
    {"pynq": "7z020", "ultra96": "zu3eg", "zcu104": "zu7ev"}
)
"""What the part number of a family's boards has in it."""

_MAGIC = bytes.fromhex("00090ff00ff00ff00ff0000001")
_SYNC_WORD = bytes.fromhex("aa995566")
_SYNC_WITHIN = 4096  # bytes of dummy words and bus width detection come before
_NAME = re.compile(r"(\d+)x(\d+)_i(\d+)w(\d+)a(\d+)_(\d+)_(\d+)_(\d+)_(\d+)")


@dataclass(frozen=True, slots=True)
class Bitstream:
    """A .bit file: the texts of its header, and the configuration data."""

    design: str
    part: str
    date: str
    time: str
    data: bytes

    def for_fpga_manager(self) -> bytes:
        """The data as ``/sys/class/fpga_manager`` takes it from ``/lib/firmware``."""
        return np.frombuffer(self.data, dtype=">u4").astype("<u4").tobytes()


def read_bitstream(path: Path) -> Bitstream:
    """Read a .bit file.

    Raises
    ------
    InputError
        It cannot be read, or is no .bit file, or is truncated.
    """
    raw = read_bounded(path, MAX_BYTES)
    try:
        return parse_bitstream(raw)
    except InputError as error:
        raise InputError(f"bitstream {path}: {error}") from error


def parse_bitstream(raw: bytes) -> Bitstream:
    """Take the bytes of a .bit file apart.

    Raises
    ------
    InputError
        They are not those of a .bit file, or some are missing.
    """
    if not raw.startswith(_MAGIC):
        raise InputError("not a .bit file; give what Vivado wrote, or a published bitstream")
    at = len(_MAGIC)
    texts = []
    for tag in b"abcd":
        size = _length(raw, at, tag, ">H")
        at += 3
        text = raw[at : at + size]
        if len(text) < size:
            raise InputError("truncated in its header; copy it again")
        texts.append(text.rstrip(b"\0").decode("ascii", "replace"))
        at += size
    size = _length(raw, at, ord("e"), ">I")
    data = raw[at + 5 :]
    if len(data) < size:
        raise InputError(f"truncated: {len(data)} of {size} bytes; copy it again")
    data = data[:size]
    if len(data) % 4 != 0 or _SYNC_WORD not in data[:_SYNC_WITHIN]:
        raise InputError("its data is no configuration of a Xilinx FPGA; copy it again")
    design, part, date, time = texts
    return Bitstream(design, part, date, time, data)


def check_bitstream(name: str, bitstream: Bitstream, config: VtaConfig) -> None:
    """Check that a design is for the boards of a config, and built with its parameters.

    Parameters
    ----------
    name : of the file, which says the parameters, such as ``1x16_i8w8a32_15_15_18_17.bit``.

    Raises
    ------
    ConfigError
        It is for another part, of other parameters, or does not say.
    """
    part = PARTS.get(config.target)
    if part is None:
        raise ConfigError(f"config '{config.name}': boards of {config.target} load no .bit file")
    if part not in bitstream.part.lower():
        raise ConfigError(
            f"bitstream {name} is for the part {bitstream.part}, boards of {config.name} have a "
            f"{part}; take the bitstream of this board"
        )
    wanted = parameters(config)
    found = _NAME.search(name)
    if found is None:
        raise ConfigError(
            f"bitstream {name} does not say its parameters; if it was built with those of "
            f"{config.name}, call it {wanted}.bit"
        )
    if found.group() != wanted:
        raise ConfigError(
            f"bitstream {name} has the parameters {found.group()}, config {config.name} has "
            f"{wanted}; take that bitstream, or compile for a config with these parameters"
        )


def parameters(config: VtaConfig) -> str:
    """What the name of a bitstream with a config's parameters says (vta.md, "Parameters")."""
    widths = (config.log_inp_width, config.log_wgt_width, config.log_acc_width)
    inputs, weights, accumulators = (1 << width for width in widths)
    return (
        f"{config.batch}x{config.block}_i{inputs}w{weights}a{accumulators}"
        f"_{config.log_uop_buff_size}_{config.log_inp_buff_size}"
        f"_{config.log_wgt_buff_size}_{config.log_acc_buff_size}"
    )


def _length(raw: bytes, at: int, tag: int, form: str) -> int:
    """The length behind a tag."""
    size = struct.calcsize(form)
    if len(raw) < at + 1 + size:
        raise InputError("truncated in its header; copy it again")
    if raw[at] != tag:
        raise InputError(f"its header has no field '{chr(tag)}' at byte {at}; copy it again")
    return int(struct.unpack_from(form, raw, at + 1)[0])
