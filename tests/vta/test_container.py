"""``net.vta``: what is packed comes out, what is damaged is refused by name."""

import json
import random
from typing import Any

import pytest

from lcp_tvm.errors import PackageError
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.container import MAGIC, pack_programs, parse_programs, read_header
from tests.packages import a_net_vta

CONFIG = load_config("pynq_z1").to_json()


def test_programs_come_back_with_their_images() -> None:
    programs = [_program("a", 32), _program("b", 64)]
    images = [bytes(range(32)), bytes(range(64))]
    header, found = parse_programs(pack_programs(CONFIG, programs, images))
    assert found == tuple(images)
    assert header["config"] == json.loads(CONFIG)
    assert [program["image"] for program in header["programs"]] == [[0, 32], [32, 64]]
    assert [program["symbol"] for program in header["programs"]] == ["a", "b"]


def test_begins_as_documented() -> None:
    data = pack_programs(CONFIG, [_program("a", 16)], [bytes(range(16))])
    size = int.from_bytes(data[8:16], "little")
    assert data[:8] == b"LCPVTA01" == MAGIC
    assert json.loads(data[16 : 16 + size])["version"] == 2
    assert data[16 + size :] == bytes(range(16))


_LAYER = {"name": "l", "kind": "k", "first": 0, "count": 1, "macs": 0, "bound": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dram_size": -1}, "key 'dram_size' is -1"),
        ({"dram_size": 8}, "its image has 16 bytes, its DRAM 8"),
        ({"dram_size": 1 << 40}, "bytes of DRAM, allowed is"),
        ({"insn_count": 2}, "its instructions end at 0x20, its image at 0x10"),
        ({"insn_addr": 8}, "its instructions end at"),
        ({"symbol": ""}, "key 'symbol' is"),
        ({"inputs": 3}, "key 'inputs' is 3"),
        ({"inputs": [{"name": "x", "addr": 0, "shape": [0, 1]}]}, "key 'shape' is"),
        ({"buffers": [{"name": "x", "addr": 0, "size": 99, "dtype": "int8"}]}, "ends at 99"),
        (
            {"layers": [_LAYER | {"first": 1}]},
            "layer l: ends behind the last instruction",
        ),
        (
            {"layers": [_LAYER | {"arm_us": -1}]},
            "layer l: key 'arm_us' is -1",
        ),
    ],
)
def test_a_wrong_program_is_refused_by_key(change: dict[str, Any], message: str) -> None:
    data = pack_programs(CONFIG, [_program("a", 16) | change], [bytes(16)])
    with pytest.raises(PackageError, match=message):
        read_header(data)


def test_two_programs_of_one_name_are_refused() -> None:
    data = pack_programs(CONFIG, [_program("a", 16)] * 2, [bytes(16)] * 2)
    with pytest.raises(PackageError, match="same symbol"):
        read_header(data)


def test_a_newer_version_is_refused() -> None:
    data = a_net_vta().replace(b'"version":2', b'"version":3')
    with pytest.raises(PackageError, match="version 3, this program reads version 2"):
        read_header(data)


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_reads_or_is_refused(seed: int) -> None:
    good = a_net_vta()
    rng = random.Random(seed)
    for _ in range(1000):
        data = bytearray(good)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            header, images = parse_programs(bytes(data))
        except PackageError:
            continue
        assert len(header["programs"]) == len(images) == 1


def test_every_cut_is_refused() -> None:
    good = a_net_vta()
    for size in range(len(good)):
        with pytest.raises(PackageError):
            parse_programs(good[:size])


def _program(symbol: str, size: int) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "dram_size": size,
        "insn_addr": 0,
        "insn_count": 1,
        "inputs": [],
        "outputs": [],
        "buffers": [],
        "layers": [],
    }
