"""Programs on an emulated board, through the driver: numbers, and everything that goes wrong."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tvm_ffi

from lcp_tvm.vta.simulator import load_program_bytes
from tests.board.boards import Remote, RemoteError, build_fake, emulated_board, install, process_on
from tests.native import test_module

MEMORIES = ("cma", "xrt", "udmabuf")


@dataclass(frozen=True, slots=True)
class Job:
    """A program with inputs, and what the simulator makes of them."""

    file: Path
    symbol: str
    tensors: tuple[np.ndarray, ...]
    expected: np.ndarray

    def run(self, process: Remote, folder: Path) -> float:
        """Run it on a board and compare; the milliseconds it took."""
        names = []
        for index, tensor in enumerate((*self.tensors, np.zeros_like(self.expected))):
            names.append(str(folder / f"{index}.npy"))
            np.save(names[-1], tensor)
        took = process.ask("run", symbol=self.symbol, tensors=names)
        np.testing.assert_array_equal(np.load(names[-1]), self.expected)
        return float(took)


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return libraries as a board's image has them."""
    folder = tmp_path_factory.mktemp("fakes")
    build_fake("cma", folder / "cma.so")
    build_fake("xrt", folder / "xrt.so")
    build_fake("xrt", folder / "old_xrt.so", "-DOLD")
    return folder


@pytest.fixture(scope="module")
def job(fashion_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Return the bundled network's first program, with random inputs."""
    file = tmp_path_factory.mktemp("job") / "net.vta"
    with zipfile.ZipFile(fashion_package) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith(".vta"))
        file.write_bytes(archive.read(name))
    module = load_program_bytes(file.read_bytes())
    program = json.loads(module["lcp_tvm.header"]())["programs"][0]
    rng = np.random.default_rng(1)
    tensors = tuple(
        rng.integers(-128, 128, slot["shape"], dtype=np.int8) for slot in program["inputs"]
    )
    expected = np.zeros(program["outputs"][0]["shape"], dtype=np.int8)
    arrays = (*tensors, expected)
    module[program["symbol"]](*(tvm_ffi.from_dlpack(array) for array in arrays))
    return Job(file, program["symbol"], tensors, expected)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Path]:
    """Serve a board that has no contiguous memory yet."""
    with emulated_board(tmp_path / "board") as root:
        yield root


@pytest.fixture
def process(board: Path) -> Iterator[Remote]:
    with process_on(board) as remote:
        yield remote


def open_board(process: Remote, root: Path, memory: str = "auto", deadline_ms: int = 60000) -> str:
    options = {"root": str(root), "memory": memory, "deadline_ms": deadline_ms}
    return str(process.ask("open", config="pynq_z1", options=options))


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_network_has_the_simulators_bits(
    board: Path, process: Remote, fakes: Path, job: Job, memory: str, tmp_path: Path
) -> None:
    install(board, memory, fakes)
    assert open_board(process, board) == memory
    process.ask("load", file=str(job.file))
    for _ in range(3):
        assert job.run(process, tmp_path) > 0


def test_every_source_says_why_it_is_not_there(board: Path, process: Remote, fakes: Path) -> None:
    with pytest.raises(RemoteError, match=r"xrt: .*PYNQ.*; cma: .*xlnk.*; udmabuf: .*modprobe"):
        open_board(process, board)


def test_an_older_xrt_is_named(board: Path, process: Remote, fakes: Path) -> None:
    install(board, "old xrt", fakes)
    with pytest.raises(RemoteError, match=r"older than XRT 2\.11; update the image"):
        open_board(process, board, "xrt")


def test_an_older_xrt_gives_way_to_what_is_there(board: Path, process: Remote, fakes: Path) -> None:
    install(board, "old xrt", fakes)
    install(board, "udmabuf", fakes)
    assert open_board(process, board) == "udmabuf"


def test_an_unknown_memory_is_refused(board: Path, process: Remote) -> None:
    with pytest.raises(RemoteError, match="'magic' is not known; choose auto, xrt, cma or udmabuf"):
        open_board(process, board, "magic")


@pytest.mark.parametrize("memory", MEMORIES)
def test_exhausted_memory_says_how_much_is_needed(
    board: Path, process: Remote, fakes: Path, job: Job, memory: str, tmp_path: Path
) -> None:
    install(board, memory, fakes)
    if memory == "udmabuf":
        (board / "sys/class/u-dma-buf/udmabuf0/size").write_text("65536\n")
    else:
        with (board / "ram").open("r+b") as ram:
            ram.truncate(65536)
    open_board(process, board)
    process.ask("load", file=str(job.file))
    with pytest.raises(RemoteError, match=rf"exhausted: a program needs \d+ KiB of {memory}"):
        job.run(process, tmp_path)


def test_forbidden_registers_are_named(board: Path, process: Remote, fakes: Path) -> None:
    install(board, "udmabuf", fakes)
    (board / "dev/mem").unlink()
    (board / "dev/mem").mkdir()
    with pytest.raises(RemoteError, match=r"registers cannot be mapped: /dev/mem: .*as root"):
        open_board(process, board)


def test_registers_may_come_by_uio(fakes: Path, job: Job, tmp_path: Path) -> None:
    with emulated_board(tmp_path / "uio", uio=True) as board, process_on(board) as process:
        install(board, "udmabuf", fakes)
        open_board(process, board)
        process.ask("load", file=str(job.file))
        job.run(process, tmp_path)


def test_a_program_that_leaves_its_memory_never_starts(
    board: Path, process: Remote, fakes: Path, tmp_path: Path
) -> None:
    install(board, "udmabuf", fakes)
    open_board(process, board)
    raw = bytearray(test_module.image())
    for word in range(test_module.CODE, len(raw), 16):
        raw[word + 5] |= 1 << 4  # a high bit of dram_base
    (tmp_path / "far.vta").write_bytes(test_module.file_of(test_module.header(), bytes(raw)))
    process.ask("load", file=str(tmp_path / "far.vta"))
    x, y = test_module.tensors()
    with pytest.raises(RemoteError, match=r"SimulationError: .*LOAD.* leaves the program's memory"):
        Job(Path(), "relu", (x,), y).run(process, tmp_path)


def test_an_empty_fpga_is_named(board: Path, process: Remote, fakes: Path) -> None:
    install(board, "udmabuf", fakes)
    state = board / "sys/class/fpga_manager/fpga0/state"
    state.unlink()
    state.write_text("power up\n")
    with pytest.raises(RemoteError, match=r"holds no design .*'power.*board program"):
        open_board(process, board)


def test_a_hung_accelerator_is_reported_and_the_next_program_runs(
    board: Path, process: Remote, fakes: Path, job: Job, tmp_path: Path
) -> None:
    install(board, "udmabuf", fakes)
    open_board(process, board, deadline_ms=500)
    process.ask("load", file=str(job.file))
    (board / "hang").touch()
    with pytest.raises(RemoteError, match=r"did not finish .* within 500 ms"):
        job.run(process, tmp_path)
    (board / "hang").unlink()
    job.run(process, tmp_path)


def test_a_hung_accelerator_without_its_design_stays_refused(
    board: Path, process: Remote, fakes: Path, job: Job, tmp_path: Path
) -> None:
    install(board, "udmabuf", fakes)
    (board / "lib/firmware/lcp-tvm-vta.bin").unlink()
    open_board(process, board, deadline_ms=500)
    process.ask("load", file=str(job.file))
    (board / "hang").touch()
    with pytest.raises(RemoteError, match="did not finish"):
        job.run(process, tmp_path)
    with pytest.raises(RemoteError, match=r"hangs since an earlier program.*board program"):
        job.run(process, tmp_path)


def test_a_board_serves_one_process(board: Path, process: Remote, fakes: Path) -> None:
    install(board, "udmabuf", fakes)
    open_board(process, board)
    with process_on(board) as second, pytest.raises(RemoteError, match="another process has"):
        open_board(second, board)


def test_the_board_of_a_killed_process_is_free_again(
    board: Path, process: Remote, fakes: Path, job: Job, tmp_path: Path
) -> None:
    install(board, "udmabuf", fakes)
    open_board(process, board)
    process.process.kill()
    process.process.wait()
    with process_on(board) as second:
        open_board(second, board)
        second.ask("load", file=str(job.file))
        job.run(second, tmp_path)
