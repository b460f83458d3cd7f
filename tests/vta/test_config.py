"""VTA configs: what the bundled ones say, and how a wrong one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm.errors import ConfigError
from lcp_tvm.vta.config import config_names, load_config, parse_config
from tests.vta.configs import ALL, ROWS, WIDE


def keys(**changes: Any) -> dict[str, Any]:
    """Keys of the PYNQ's config with changes; None removes a key."""
    values: dict[str, Any] = {
        "TARGET": "pynq",
        "HW_VER": "0.0.2",
        "LOG_INP_WIDTH": 3,
        "LOG_WGT_WIDTH": 3,
        "LOG_ACC_WIDTH": 5,
        "LOG_BATCH": 0,
        "LOG_BLOCK": 4,
        "LOG_UOP_BUFF_SIZE": 15,
        "LOG_INP_BUFF_SIZE": 15,
        "LOG_WGT_BUFF_SIZE": 18,
        "LOG_ACC_BUFF_SIZE": 17,
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


def test_bundled_configs() -> None:
    assert config_names() == ("pynq_z1", "pynq_z2", "sim", "ultra96", "zcu104")
    for name in config_names():
        assert load_config(name).name == name


def test_pynq_sizes() -> None:
    config = load_config("pynq_z1")
    assert (config.batch, config.block) == (1, 16)
    assert (config.inp_elem_bytes, config.wgt_elem_bytes) == (16, 256)
    assert (config.acc_elem_bytes, config.out_elem_bytes) == (64, 16)
    assert (config.uop_depth, config.inp_depth, config.wgt_depth) == (8192, 2048, 1024)
    assert (config.acc_depth, config.out_depth) == (2048, 2048)
    assert (config.clock_mhz, config.bus_bits, config.hazard_distance) == (100, 64, 4)
    assert config.bitstream_name == "1x16_i8w8a32_15_15_18_17.bit"


def test_wide_array_sizes() -> None:
    assert (WIDE.inp_elem_bytes, WIDE.wgt_elem_bytes, WIDE.acc_elem_bytes) == (32, 1024, 128)
    assert (WIDE.inp_depth, WIDE.wgt_depth, WIDE.acc_depth) == (1024, 256, 1024)
    assert WIDE.bitstream_name == "1x32_i8w8a32_15_15_18_17.bit"


def test_rows_make_inputs_and_accumulators_larger_but_not_weights() -> None:
    assert (ROWS.inp_elem_bytes, ROWS.wgt_elem_bytes, ROWS.acc_elem_bytes) == (64, 256, 256)
    assert (ROWS.inp_depth, ROWS.wgt_depth, ROWS.acc_depth) == (512, 1024, 512)
    assert ROWS.bitstream_name == "4x16_i8w8a32_15_15_18_17.bit"


@pytest.mark.parametrize(("name", "clock", "bus"), [("ultra96", 333, 128), ("zcu104", 333, 128)])
def test_family_sets_clock_and_bus(name: str, clock: int, bus: int) -> None:
    assert (load_config(name).clock_mhz, load_config(name).bus_bits) == (clock, bus)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_json_round_trip(config: Any) -> None:
    text = config.to_json()
    assert parse_config(text, "elsewhere") == config
    assert parse_config(text, "elsewhere").to_json() == text
    assert json.loads(text)["NAME"] == config.name


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(keys(HAZARD_DISTANCE=16)), encoding="utf-8")
    assert load_config(path).name == "mine"
    assert load_config(str(path)).hazard_distance == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LOG_BLOK": 4}, r"key 'LOG_BLOK' is unknown; known keys are TARGET"),
        ({"LOG_BLOCK": None}, r"key 'LOG_BLOCK' is missing"),
        ({"TARGET": None}, r"key 'TARGET' is missing"),
        ({"LOG_BLOCK": "4"}, r"key 'LOG_BLOCK' is '4'; allowed is an integer, 4..5"),
        ({"LOG_BLOCK": True}, r"key 'LOG_BLOCK' is True; allowed is an integer"),
        ({"LOG_BLOCK": 4.0}, r"key 'LOG_BLOCK' is 4.0; allowed is an integer"),
        ({"HW_VER": 2}, r"key 'HW_VER' is 2; allowed is text"),
        ({"NAME": ""}, r"key 'NAME' is ''; allowed is text"),
        ({"TARGET": "vcu"}, r"key 'TARGET' is 'vcu'; allowed are pynq, ultra96"),
        ({"LOG_BATCH": 5}, r"key 'LOG_BATCH' is 5; allowed is 0..4"),
        ({"LOG_BLOCK": 6}, r"key 'LOG_BLOCK' is 6; allowed is 4..5"),
        ({"LOG_INP_WIDTH": 4}, r"key 'LOG_INP_WIDTH' is 4; allowed is 3"),
        ({"LOG_WGT_WIDTH": 2}, r"key 'LOG_WGT_WIDTH' is 2; allowed is 3"),
        ({"LOG_ACC_WIDTH": 4}, r"key 'LOG_ACC_WIDTH' is 4; allowed is 5"),
        ({"HAZARD_DISTANCE": -1}, r"key 'HAZARD_DISTANCE' is -1; allowed is 0..1024"),
        ({"LOG_UOP_BUFF_SIZE": 2}, r"key 'LOG_UOP_BUFF_SIZE' is 2; allowed is 3..18: 2 elements"),
        ({"LOG_WGT_BUFF_SIZE": 25}, r"key 'LOG_WGT_BUFF_SIZE' is 25; allowed is 9..24"),
        (
            {"LOG_UOP_BUFF_SIZE": 16},
            r"key 'LOG_UOP_BUFF_SIZE' is 16; allowed is at most 15: the first word of GEMM would "
            r"need 65 of 64 bits",
        ),
        (
            {"LOG_WGT_BUFF_SIZE": 19},
            r"key 'LOG_WGT_BUFF_SIZE' is 19; allowed is at most 18: a micro-op's dst, src and wgt "
            r"would need 33 of 32 bits",
        ),
        (
            {"LOG_ACC_BUFF_SIZE": 16},
            r"key 'LOG_ACC_BUFF_SIZE' is 16; allowed is 17 with LOG_INP_BUFF_SIZE 15",
        ),
        (
            {"LOG_ACC_BUFF_SIZE": 18, "LOG_INP_BUFF_SIZE": 16, "LOG_WGT_BUFF_SIZE": 16},
            r"key 'LOG_ACC_BUFF_SIZE' is 18; the second word of ALU would need 68 of 64 bits",
        ),
    ],
)
def test_a_wrong_key_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"VTA config board.json: {message}"):
        parse_config(json.dumps(keys(**changes)), "board.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"TARGET": "sim", "TARGET": "pynq"}', "key 'TARGET' is given twice"),
    ],
)
def test_what_is_no_config_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(text, "x")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no VTA config 'pynq_z9'.*pynq_z1, pynq_z2, sim"):
        load_config("pynq_z9")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.json cannot be read"):
        load_config(path)
