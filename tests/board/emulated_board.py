"""A board as files: registers, contiguous memory and an FPGA manager, served by a process.

    python -m tests.board.emulated_board ROOT CONFIG [POLL_S]

``ROOT/dev/mem`` holds the registers, ``ROOT/ram`` the contiguous memory, whose first byte has the
physical address `PHYSICAL`. The process runs started programs on the simulator, with what the
Xilinx design does (vta.md): ``done`` stays set until compute begins the next program, a stream
that breaks a rule hangs, and only loading the design anew ends that. While ``ROOT/hang`` is there
every program hangs, with ``ROOT/wrong`` every bit 0 of memory is wrong.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from lcp_tvm.errors import SimulationError
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.simulator import simulate

PHYSICAL = 0x10000000
RAM_BYTES = 32 << 20
REGISTERS = {"pynq": 0x43C00000, "ultra96": 0xA0000000}
ADDRESS_SPACE = 1 << 32
FIRMWARE = "lcp-tvm-vta.bin"
MANAGER = Path("sys/class/fpga_manager/fpga0")

_PAGE = 4096
_FETCH, _COMPUTE = 0, 2 * _PAGE
_START, _IDLE = 0x1, 0x4


def make_root(root: Path, config: VtaConfig, *, uio: bool = False) -> None:
    """Make the files of a board whose FPGA holds a design; registers as UIO, or in /dev/mem."""
    for folder in ("dev", "usr/lib", "run/lock", "lib/firmware", MANAGER):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stage in range(4 if uio else 0):
        maps = root / f"sys/class/uio/uio{stage}/maps/map0"
        maps.mkdir(parents=True)
        (maps / "addr").write_text(f"0x{REGISTERS[config.target] + stage * _PAGE:x}\n")
        (root / f"dev/uio{stage}").write_bytes(bytes(_PAGE))
    if not uio:
        with (root / "dev/mem").open("wb") as memory:
            memory.truncate(ADDRESS_SPACE)
    with (root / "ram").open("wb") as ram:
        ram.truncate(RAM_BYTES)
    (root / "lib/firmware" / FIRMWARE).write_bytes(b"a design")
    (root / MANAGER / "flags").touch()
    os.mkfifo(root / MANAGER / "firmware")


def add_udmabuf(root: Path, size: int = RAM_BYTES) -> None:
    """Load u-dma-buf: the memory as /dev/udmabuf0, coherent."""
    folder = root / "sys/class/u-dma-buf/udmabuf0"
    folder.mkdir(parents=True)
    (folder / "size").write_text(f"{size}\n")
    (folder / "phys_addr").write_text(f"0x{PHYSICAL:08x}\n")
    (root / "dev/udmabuf0").symlink_to("../ram")


class Board:
    """The accelerator of an emulated board."""

    def __init__(self, root: Path, config: VtaConfig) -> None:
        self.root, self.config = root, config
        self.hung = False
        self.busy_s = 0.0  # what all programs took
        self.lock = threading.Lock()
        self.stages = [_page(root, config, stage) for stage in range(4)]
        self.dram = _dram(root / "ram")
        self.state = _state(root)
        self.asked = os.open(root / MANAGER / "firmware", os.O_RDWR | os.O_NONBLOCK)

    def read(self, address: int) -> int:
        return int(self.stages[address // _PAGE][address % _PAGE // 4])

    def write(self, address: int, value: int) -> None:
        self.stages[address // _PAGE][address % _PAGE // 4] = value

    def step(self) -> bool:
        """Run a program that was started; whether there was one."""
        with self.lock:
            if self.hung or not self.read(_FETCH) & _START:
                return False
            begin = time.perf_counter()
            self.write(_COMPUTE + 0x18, 0)
            try:
                if (self.root / "hang").exists():
                    raise SimulationError("as it was told to")
                simulate(self.config, self.dram, self.read(_FETCH + 0x18), self.read(_FETCH + 0x10))
            except SimulationError as error:
                print(f"hangs: {error}", flush=True)
                self.hung = True
                return True
            if (self.root / "wrong").exists():
                self.dram[PHYSICAL : PHYSICAL + RAM_BYTES] ^= 1
            self.busy_s += time.perf_counter() - begin
            (self.root / "busy_s").write_text(f"{self.busy_s}\n")
            self.write(_FETCH, _IDLE)
            self.write(_COMPUTE + 0x18, 1)  # comes last: who sees it may start the next program
            return True

    def tell_state(self) -> None:
        """Answer who asks for the FPGA's state, after what was asked for before."""
        while True:
            fifo = self.state
            with open(f"/proc/self/fd/{fifo}", "w") as answer:
                self.state = _state(self.root)  # this one is the asker's alone
                self.load_design()
                answer.write("operating\n")
            os.close(fifo)

    def load_design(self) -> None:
        """Load the design anew, if somebody has asked for it."""
        with suppress(BlockingIOError), self.lock:
            if os.read(self.asked, 4096).decode().strip() == FIRMWARE:
                for stage in self.stages:
                    stage[:] = 0
                self.hung = False


def _state(root: Path) -> int:
    """Make a FIFO that tells the FPGA's state once; a handle of it, whatever its name is then."""
    made = root / MANAGER / "state.made"
    os.mkfifo(made)
    handle = os.open(made, os.O_PATH)
    made.rename(root / MANAGER / "state")
    return handle


def _page(root: Path, config: VtaConfig, stage: int) -> np.ndarray:
    """The registers of a stage, as words."""
    memory, offset = root / "dev/mem", REGISTERS[config.target] + stage * _PAGE
    if not memory.exists():
        memory, offset = root / f"dev/uio{stage}", 0
    with memory.open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), _PAGE, offset=offset), dtype=np.uint32)


def _dram(ram: Path) -> np.ndarray:
    """The accelerator's address space, of which only the board's memory is backed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    noreserve, fixed = 0x4000, 0x10
    both = mmap.PROT_READ | mmap.PROT_WRITE
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve
    base = libc.mmap(None, PHYSICAL + RAM_BYTES, both, anonymous, -1, 0)
    with ram.open("r+b") as file:
        libc.mmap(base + PHYSICAL, RAM_BYTES, both, mmap.MAP_SHARED | fixed, file.fileno(), 0)
    return np.ctypeslib.as_array((ctypes.c_uint8 * (PHYSICAL + RAM_BYTES)).from_address(base))


def main() -> None:
    board = Board(Path(sys.argv[1]), load_config(sys.argv[2]))
    poll_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0005
    threading.Thread(target=board.tell_state, daemon=True).start()
    print("ready", flush=True)
    while True:
        if not board.step():
            time.sleep(poll_s)


if __name__ == "__main__":
    main()
