"""Dumped programs: what another simulator needs, and that it would find the same memory."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcp_tvm.cli.compile import compile_file
from lcp_tvm.dump import dump_programs
from lcp_tvm.errors import InputError, PackageError
from lcp_tvm.package import read_package, write_package
from lcp_tvm.split_text import parse_split
from lcp_tvm.vta.config import parse_config
from lcp_tvm.vta.container import pack_programs, parse_programs
from lcp_tvm.vta.simulator import simulate
from tests.example import MODEL, PICTURES
from tests.packages import (
    INSN_ADDR,
    a_compiled,
    a_cpu_compiled,
    a_module,
    a_net_vta,
    a_package,
    some_stats,
)


def test_describes_a_program(tmp_path: Path) -> None:
    (dumped,) = dump_programs(a_package(tmp_path), tmp_path / "out", None)

    assert dumped.files == ("dram.bin", "program.json", "program.txt")
    description = _json(tmp_path / "out")
    assert (description["insn_addr"], description["insn_count"]) == (INSN_ADDR, 1)
    assert description["config"]["LOG_BLOCK"] == 4
    assert description["buffers"][1] == {
        "name": "weights of conv",
        "addr": 0,
        "size": 256,
        "dtype": "int8",
    }
    (image,) = parse_programs(a_net_vta())[1]
    memory = (tmp_path / "out" / "dram.bin").read_bytes()
    assert memory == image + bytes(0x900 - len(image))


def test_lists_instructions_under_their_layers(tmp_path: Path) -> None:
    dump_programs(a_package(tmp_path), tmp_path, None)
    assert (tmp_path / "program.txt").read_text() == (
        "# conv: conv2d, 1 instructions\n     0 0x00000100  FINISH\n"
    )


def test_several_programs_get_a_folder_each(tmp_path: Path) -> None:
    header, images = parse_programs(a_net_vta())
    (first,) = header["programs"]
    programs = [first, first | {"symbol": "vta_1"}]
    data = pack_programs(json.dumps(header["config"]), programs, images * 2)
    module = a_module(data, {"vta_0": some_stats(), "vta_1": some_stats()})
    compiled = replace(a_compiled(), modules=(module,))
    package = write_package(compiled, tmp_path / "two.lcp")
    dumped = dump_programs(package, tmp_path / "out", None)
    assert [one.folder for one in dumped] == [tmp_path / "out" / "vta_0", tmp_path / "out/vta_1"]
    assert _json(tmp_path / "out" / "vta_1")["program"] == "vta_1"
    with pytest.raises(InputError, match=r"a single VTA program.*2 programs"):
        dump_programs(package, tmp_path / "out", _saved(tmp_path, np.zeros((1, 3, 8, 8), np.int8)))


def test_int8_input_is_packed_into_memory(tmp_path: Path) -> None:
    """Layout ``[ceil(C / 16)][H][W][16]``, absent channels zero."""
    x = np.arange(3 * 8 * 8, dtype=np.int64).astype(np.int8).reshape(1, 3, 8, 8)
    dump_programs(a_package(tmp_path), tmp_path / "out", _saved(tmp_path, x))
    memory = np.fromfile(tmp_path / "out" / "dram.bin", np.int8)
    packed = memory[0x200:0x600].reshape(8, 8, 16)
    np.testing.assert_array_equal(packed[:, :, :3], x[0].transpose(1, 2, 0))
    assert not packed[:, :, 3:].any()


def test_a_replay_of_dram_bin_gives_dram_after(fashion_package: Path, tmp_path: Path) -> None:
    """Any simulator that runs program.json on dram.bin must find dram.after.bin."""
    package = read_package(fashion_package)
    dump_programs(package, tmp_path, PICTURES / "bag.png")
    program = _json(tmp_path)
    memory = np.fromfile(tmp_path / "dram.bin", np.uint8)
    config = parse_config(json.dumps(program["config"]), "program.json")
    simulate(config, memory, program["insn_addr"], program["insn_count"])
    np.testing.assert_array_equal(memory, np.fromfile(tmp_path / "dram.after.bin", np.uint8))
    (output,) = program["outputs"]
    scores = memory[output["addr"] :][: output["shape"][1]].view(np.int8)
    assert package.manifest.labels[int(scores.argmax())] == "bag"


def test_the_same_input_as_numbers_gives_the_same_memory(
    fashion_package: Path, tmp_path: Path
) -> None:
    from lcp_tvm.pictures import load_picture

    package = read_package(fashion_package)
    dump_programs(package, tmp_path / "a", PICTURES / "bag.png")
    x = load_picture(PICTURES / "bag.png", package.preprocess)
    dump_programs(package, tmp_path / "b", _saved(tmp_path, x))
    for name in ("dram.bin", "dram.after.bin"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_program_of_a_split_network_has_a_run(tmp_path: Path) -> None:
    """Those too that only stand in for tasks whose neighbours are late."""
    compile_file(MODEL, tmp_path / "n.lcp", "vta", split=parse_split("ftp:1x2@3:reuse"))
    package = read_package(tmp_path / "n.lcp")
    dumped = dump_programs(package, tmp_path / "out", PICTURES / "bag.png")
    symbols = {symbol for module in package.manifest.modules.values() for symbol in module.stats}
    assert {one.symbol for one in dumped} == symbols
    assert any(symbol.startswith("rest_alone") for symbol in symbols)
    for one in dumped:
        assert "dram.after.bin" in one.files


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 4, 8, 8), np.int8), r"found int8 \[1, 4, 8, 8\].*takes \[1, 3, 8, 8\]"),
        (np.zeros((1, 3, 8, 9), np.float32), r"found float32 \[1, 3, 8, 9\]"),
        (np.zeros((1, 3, 8, 8), np.int32), r"found int32"),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, x: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dump_programs(a_package(tmp_path), tmp_path / "out", _saved(tmp_path, x))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{"])
def test_a_damaged_npy_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npy: not an \.npy that can be read"):
        dump_programs(a_package(tmp_path), tmp_path / "out", tmp_path / "x.npy")


def test_a_network_without_vta_has_nothing_to_dump(tmp_path: Path) -> None:
    package = write_package(a_cpu_compiled(), tmp_path / "cpu.lcp")
    with pytest.raises(PackageError, match="nothing of this network runs on VTA"):
        dump_programs(package, tmp_path / "out", None)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="out: cannot be made"):
        dump_programs(a_package(tmp_path), tmp_path / "out", None)


def _json(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "program.json").read_text())
    return values


def _saved(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"
