"""Bitstreams: read, checked against a config, turned for the FPGA manager; hostile bytes."""

from __future__ import annotations

import dataclasses
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.board.bitstream import (
    MAX_BYTES,
    check_bitstream,
    parameters,
    parse_bitstream,
    read_bitstream,
)
from lcp_tvm.errors import ConfigError, InputError
from lcp_tvm.vta.config import load_config

PYNQ = load_config("pynq_z1")
NAME = "1x16_i8w8a32_15_15_18_17.bit"
DATA = b"\xff" * 32 + bytes.fromhex("000000bb11220044aa99556620000000") + bytes(range(64))


def bit_file(part: str = "7z020clg400", data: bytes = DATA) -> bytes:
    """A .bit file as Vivado writes it."""
    raw = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for tag, text in zip(
        "abcd", ("vta;Version=2018.3", part, "2019/02/03", "04:05:06"), strict=True
    ):
        field = text.encode() + b"\0"
        raw += tag.encode() + struct.pack(">H", len(field)) + field
    return raw + b"e" + struct.pack(">I", len(data)) + data


def test_a_file_says_what_it_is() -> None:
    bitstream = parse_bitstream(bit_file())
    assert bitstream.design == "vta;Version=2018.3"
    assert bitstream.part == "7z020clg400"
    assert (bitstream.date, bitstream.time) == ("2019/02/03", "04:05:06")
    assert bitstream.data == DATA


def test_the_fpga_manager_gets_words_the_other_way_round() -> None:
    swapped = parse_bitstream(bit_file()).for_fpga_manager()
    assert swapped.index(bytes.fromhex("665599aa")) == DATA.index(bytes.fromhex("aa995566"))
    assert len(swapped) == len(DATA)


@pytest.mark.parametrize(
    ("config", "name"),
    [("pynq_z1", NAME), ("ultra96", NAME), ("zcu104", NAME)],
)
def test_parameters_are_those_of_published_names(config: str, name: str) -> None:
    assert f"{parameters(load_config(config))}.bit" == name


def test_the_boards_own_bitstream_is_taken() -> None:
    check_bitstream(NAME, parse_bitstream(bit_file()), PYNQ)


def test_another_part_is_refused() -> None:
    ultra = parse_bitstream(bit_file("xczu3eg-sbva484-1-e"))
    with pytest.raises(ConfigError, match="xczu3eg-sbva484-1-e, boards of pynq_z1 have a 7z020"):
        check_bitstream(NAME, ultra, PYNQ)
    check_bitstream(NAME, ultra, load_config("ultra96"))


def test_other_parameters_are_refused() -> None:
    small = dataclasses.replace(PYNQ, log_wgt_buff_size=17)
    with pytest.raises(ConfigError, match=r"has the parameters 1x16_i8w8a32_15_15_18_17, .*17_17"):
        check_bitstream(NAME, parse_bitstream(bit_file()), small)


def test_a_name_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"call it {NAME}"):
        check_bitstream("vta.bit", parse_bitstream(bit_file()), PYNQ)


@pytest.mark.parametrize("size", [0, 5, 13, 15, 40, len(bit_file()) - 1])
def test_truncated_files_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / NAME).write_bytes(bit_file()[:size])
    with pytest.raises(InputError, match=f"bitstream .*{NAME}: (truncated|not a)"):
        read_bitstream(tmp_path / NAME)


def test_a_file_without_the_sync_word_is_refused() -> None:
    with pytest.raises(InputError, match="no configuration"):
        parse_bitstream(bit_file(data=bytes(4096)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bitstream(tmp_path / "no.bit")


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(MAX_BYTES * 4)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_bitstream(tmp_path / NAME)


@given(st.data())
def test_changed_bytes_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(bit_file())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        bitstream = parse_bitstream(bytes(raw))
    except InputError:
        return
    assert len(bitstream.data) <= len(raw)
    bitstream.for_fpga_manager()


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_read_or_refused(tail: bytes) -> None:
    with suppress(InputError):
        parse_bitstream(bit_file()[:13] + tail)
