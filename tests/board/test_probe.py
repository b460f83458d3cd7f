"""What a probe finds on an emulated board, and what it says of each lack."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from lcp_tvm.board.self_test import self_test
from lcp_tvm.vta.config import load_config
from tests.board.boards import Remote, emulated_board, install, process_on
from tests.board.emulated_board import MANAGER

SLCR = 0xF8000000


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Path]:
    """Serve a board in order: PYNQ's memory, sensors and clock."""
    with emulated_board(tmp_path / "board") as root:
        install(root, "udmabuf", Path())
        set_memory(root, available_kb=300_000, cma_free_kb=100_000)
        write(root, "proc/cpuinfo", "processor\t: 0\nFeatures\t: half thumb neon vfpv3\n")
        write(root, "lib/firmware/lcp-tvm-vta.name", "1x16_i8w8a32_15_15_18_17.bit\n")
        set_xadc(root, raw=2600)
        set_clock(root, divisor=10)
        (root / "self_test.vta").write_bytes(self_test(load_config("pynq_z1")))
        yield root


@pytest.fixture
def process(board: Path) -> Iterator[Remote]:
    with process_on(board) as remote:
        yield remote


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def set_memory(root: Path, available_kb: int, cma_free_kb: int) -> None:
    write(
        root,
        "proc/meminfo",
        f"MemTotal:  508000 kB\nMemAvailable: {available_kb} kB\n"
        f"CmaTotal: 131072 kB\nCmaFree: {cma_free_kb} kB\n",
    )


def set_xadc(root: Path, raw: int) -> None:
    for name, text in (("raw", str(raw)), ("offset", "-2219"), ("scale", "123.040771484")):
        write(root, f"sys/bus/iio/devices/iio:device0/in_temp0_{name}", f"{text}\n")


def set_clock(root: Path, divisor: int) -> None:
    """FCLK0 is the PLL's 50 MHz x 20 over the divisor."""
    with (root / "dev/mem").open("r+b") as memory:
        memory.seek(SLCR + 0x108)
        memory.write(struct.pack("<I", 20 << 12))
        memory.seek(SLCR + 0x170)
        memory.write(struct.pack("<I", divisor << 8 | 1 << 20))


def probe(process: Remote, root: Path, config: str = "pynq_z1") -> dict[str, tuple[str, str]]:
    facts = process.ask(
        "probe", config=config, options={"root": str(root)}, self_test=str(root / "self_test.vta")
    )
    return {name: (value, cure) for name, value, cure in facts}


def test_a_board_in_order_lacks_nothing(board: Path, process: Remote) -> None:
    facts = probe(process, board)
    assert {cure for _, cure in facts.values()} == {""}
    values = {name: value for name, (value, _) in facts.items()}
    assert values["processor"] == "neon"
    assert values["memory"] == "293 MB free of 496 MB"
    assert values["contiguous memory"] == "98 MB free of 128 MB"
    assert values["FPGA manager"] == "operating"
    assert values["bitstream"] == "1x16_i8w8a32_15_15_18_17.bit"
    assert values["clock"] == "100 MHz"
    assert values["temperature"] == "47 C"
    assert values["allocator"] == "udmabuf"
    assert values["self-test"].startswith("right, in ")


def test_a_board_without_a_vta_is_asked_for_less(board: Path, process: Remote) -> None:
    facts = probe(process, board, config="")
    assert set(facts) == {"kernel", "C library", "processor", "memory", "temperature"}


def test_each_lack_has_its_cure(board: Path, process: Remote) -> None:
    set_memory(board, available_kb=20_000, cma_free_kb=2_000)
    write(board, "proc/cpuinfo", "Features\t: half thumb\n")
    (board / "lib/firmware/lcp-tvm-vta.name").unlink()
    set_xadc(board, raw=3000)
    set_clock(board, divisor=20)
    (board / "sys/class/u-dma-buf/udmabuf0/size").unlink()
    facts = probe(process, board)
    for name, value, cure in (
        ("processor", "no NEON", "another board"),
        ("memory", "20 MB free", "end other programs"),
        ("contiguous memory", "2 MB free", "cma=128M"),
        ("bitstream", "unknown", "lcp-tvm board program"),
        ("temperature", "96 C", "cool the board"),
        ("clock", "50 MHz", "set FCLK0 to 100 MHz"),
        ("allocator", "missing", "modprobe u-dma-buf"),
        ("self-test", "missing", "no contiguous memory"),
    ):
        assert value in facts[name][0]
        assert cure in facts[name][1]


def test_a_missing_fpga_manager_names_the_image(board: Path, process: Remote) -> None:
    (board / MANAGER / "state").unlink()
    assert "PYNQ" in probe(process, board)["FPGA manager"][1]


def test_wrong_bits_are_found(board: Path, process: Remote) -> None:
    (board / "wrong").touch()
    assert "gives other bits" in probe(process, board)["self-test"][1]


def test_a_damaged_self_test_is_named(board: Path, process: Remote) -> None:
    (board / "self_test.vta").write_bytes(b"no program")
    assert probe(process, board)["self-test"][0] == "missing"
    (board / "self_test.vta").unlink()
    assert "install the kit again" in probe(process, board)["self-test"][1]
