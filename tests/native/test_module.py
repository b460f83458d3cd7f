"""The runtime module of kind "vta": tensors in and out, its file, other processes, RPC."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm import native
from lcp_tvm.errors import ConfigError, LcpError, PackageError, SimulationError
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.container import pack_programs
from lcp_tvm.vta.isa import AluOp, Memory, MicroOp, encode_micro_ops, encode_stream
from lcp_tvm.vta.simulator import load_program_bytes, parse_stats, raise_native
from tests.native.streams import (
    CODE,
    CONFIG,
    IDENTITY,
    INP,
    OUT,
    UOP,
    WGT,
    alu,
    finish,
    gemm,
    load,
    store,
)
from tests.reference import evaluate
from tests.vta import builders
from tests.vta.configs import PYNQ, ROWS

CHANNELS, HEIGHT, WIDTH = 20, 3, 5
SHAPE = [1, CHANNELS, HEIGHT, WIDTH]
BLOCKS = 2 * HEIGHT * WIDTH
STREAM = (
    load(Memory.UOP, 1),
    load(Memory.INP, BLOCKS),
    load(Memory.WGT, 1, push_next=True),
    gemm(BLOCKS, reset=True, pop_prev=True),
    gemm(BLOCKS),
    alu(AluOp.MAX, 0, BLOCKS, push_next=True),
    store(BLOCKS, pop_prev=True, push_prev=True),
    finish(pop_next=True),
)


def image() -> bytes:
    dram = bytearray(CODE + 16 * len(STREAM))
    for address, data in (
        (WGT, IDENTITY.tobytes()),
        (UOP, encode_micro_ops((MicroOp(0, 0, 0),), CONFIG)),
        (CODE, encode_stream(STREAM, CONFIG)),
    ):
        dram[address : address + len(data)] = data
    return bytes(dram)


def header(**changes: Any) -> dict[str, Any]:
    """ReLU of [1, 20, 3, 5], with changes to the program's entry."""
    size = CODE + 16 * len(STREAM)
    program = {
        "symbol": "relu",
        "image": [0, size],
        "dram_size": size,
        "insn_addr": CODE,
        "insn_count": len(STREAM),
        "inputs": [{"name": "x", "addr": INP, "shape": SHAPE}],
        "outputs": [{"name": "y", "addr": OUT, "shape": SHAPE}],
        "buffers": [{"name": "x", "addr": INP, "size": BLOCKS * 16, "dtype": "int8"}],
        "layers": [{"name": "r", "kind": "relu", "first": 0, "count": 8, "macs": 0}],
        **changes,
    }
    return {"version": 2, "config": json.loads(CONFIG.to_json()), "programs": [program]}


def file_of(values: dict[str, Any], raw: bytes | None = None) -> bytes:
    text = json.dumps(values).encode()
    return b"LCPVTA01" + struct.pack("<Q", len(text)) + text + (image() if raw is None else raw)


FILE = file_of(header())


def tensors(seed: int = 0) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    x = np.random.default_rng(seed).integers(-128, 128, SHAPE, dtype=np.int8)
    return x, np.full(SHAPE, 77, np.int8)


def call(module: Any, *arrays: npt.NDArray[Any], symbol: str = "relu") -> None:
    try:
        module[symbol](*(tvm_ffi.from_dlpack(array) for array in arrays))
    except RuntimeError as error:
        raise_native(error)


def test_a_call_packs_runs_and_unpacks() -> None:
    module = load_program_bytes(FILE)
    for seed in range(2):
        x, y = tensors(seed)
        call(module, x, y)
        np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_blocks_have_absent_channels_zero() -> None:
    """Channel 20 and up of the second block are not in the tensor."""
    module = load_program_bytes(FILE)
    x, y = tensors()
    call(module, x, y)
    dram = np.frombuffer(module["lcp_tvm.dram"]("relu"), np.uint8)
    assert len(dram) == CODE + 16 * len(STREAM)
    blocks = dram[INP : INP + BLOCKS * 16].view(np.int8).reshape(2, HEIGHT, WIDTH, 16)
    wanted = np.zeros((32, HEIGHT, WIDTH), np.int8)
    wanted[:CHANNELS] = x[0]
    np.testing.assert_array_equal(
        blocks, wanted.reshape(2, 16, HEIGHT, WIDTH).transpose(0, 2, 3, 1)
    )


@pytest.mark.parametrize("config", [PYNQ, ROWS], ids=lambda config: str(config.name))
@pytest.mark.parametrize("frames", [1, 3, 4, 5])
def test_frames_lie_side_by_side(frames: int, config: VtaConfig) -> None:
    """Frames behind one another, or in the rows of an element; absent rows are zero."""
    rng = np.random.default_rng(frames)
    network = builders.conv(rng, (20, 3, 5), 40, (3, 3), frames=frames)
    program = builders.compile_single(network, config)
    module = load_program_bytes(pack_programs(config.to_json(), [program.header], [program.image]))
    (x,) = builders.random_inputs(rng, network)
    wanted = evaluate(network, x)
    y = np.empty_like(wanted)
    call(module, x, y, symbol="vta_0")
    np.testing.assert_array_equal(y, wanted)
    dram = np.frombuffer(module["lcp_tvm.dram"]("vta_0"), np.uint8)
    packed = builders.pack(x, config)
    address = program.header["inputs"][0]["addr"]
    np.testing.assert_array_equal(dram[address : address + len(packed)], packed)


def test_a_view_with_a_byte_offset_is_read_from_its_place() -> None:
    module = load_program_bytes(FILE)
    x, y = tensors()
    both = np.concatenate([np.zeros(SHAPE, np.int8), x])
    call(module, both[1:], y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_two_dimensional_tensors_are_one_pixel() -> None:
    slots = {"inputs": [{"name": "x", "addr": INP, "shape": [1, 20]}]}
    values = header(**slots, outputs=[{"name": "y", "addr": OUT, "shape": [1, 20]}])
    x = np.arange(-10, 10, dtype=np.int8)[None]
    y = np.full((1, 20), 77, np.int8)
    call(load_program_bytes(file_of(values)), x, y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_a_module_says_what_it_holds_and_what_it_cost() -> None:
    module = load_program_bytes(FILE)
    assert module.kind == "vta"
    assert json.loads(module["lcp_tvm.header"]()) == header()
    with pytest.raises(RuntimeError, match="'relu' has not run yet"):
        module["lcp_tvm.stats"]("relu")
    with pytest.raises(RuntimeError, match="no program 'elu', there are: relu"):
        module["lcp_tvm.stats"]("elu")
    call(module, *tensors())
    stats = parse_stats(module["lcp_tvm.stats"]("relu"))
    assert (stats.gemm_uops, stats.alu_uops) == (2 * BLOCKS, BLOCKS)
    assert stats.layers[0].cycles == stats.cycles
    with pytest.raises(AttributeError):
        module["elu"]


X, Y = tensors()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((X,), r"takes 2 tensors \(1 inputs, then the outputs\), 1 were given"),
        ((X, Y, Y), "3 were given"),
        ((X.astype(np.int32), Y), "input 'x' must be .* has type code 0 with 32 bits"),
        ((X.view(np.uint8), Y), "input 'x' .* has type code 1 with 8 bits"),
        ((X[:, :16].copy(), Y), r"input 'x' .* \[1, 20, 3, 5\], it has shape \[1, 16, 3, 5\]"),
        ((X[0].copy(), Y), r"it has shape \[20, 3, 5\]"),
        ((X, Y.transpose(0, 1, 3, 2)), r"output 'y' .* has shape \[1, 20, 5, 3\]"),
        ((np.zeros([1, 40, 3, 5], np.int8)[:, ::2], Y), "input 'x' .* is not contiguous"),
    ],
)
def test_wrong_tensors_are_refused(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        call(load_program_bytes(FILE), *arrays)


def test_an_argument_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(RuntimeError, match="argument 1 is a int, not a tensor"):
        load_program_bytes(FILE)["relu"](tvm_ffi.from_dlpack(X), 3)


def test_a_program_that_breaks_a_rule_fails_when_it_runs() -> None:
    """Without its last instruction the stream does not end in FINISH."""
    module = load_program_bytes(file_of(header(insn_count=7, layers=[])))
    with pytest.raises(SimulationError, match=r"instruction 6 .* must be FINISH"):
        call(module, *tensors())
    with pytest.raises(RuntimeError, match="or its last run failed"):
        module["lcp_tvm.stats"]("relu")


# The file


def test_a_module_is_its_bytes_and_loads_again(tmp_path: Path) -> None:
    module = load_program_bytes(FILE)
    path = tmp_path / "net.vta"
    module.write_to_file(str(path), "vta")
    assert path.read_bytes() == FILE
    again = [load_program_bytes(FILE), tvm_ffi.load_module(path)]
    x, y = tensors()
    for other in (module, *again):
        call(other, x, y)
        np.testing.assert_array_equal(y, np.maximum(x, 0))
        y[:] = 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are too few"),
        (b"PK\3\4" + FILE[4:], "do not start with LCPVTA01"),
        (b"LCPVTA02" + FILE[8:], "format 02, this library reads 01"),
        (FILE[:100], "the file is truncated"),
        (FILE[:-1], r"programs\[0\]: image is"),
        (FILE + b"!", "1 bytes follow the last image"),
        (FILE[:8] + b"\xff" * 8 + FILE[16:], "the file is truncated"),
        (FILE[:16] + b"[" + FILE[17:], "is not JSON"),
        (FILE[:17] + b"\xff" + FILE[18:], "is not UTF-8"),
        (FILE[:17] + b"\xed\xa0\x80" + FILE[20:], "is not UTF-8"),
        (FILE[:16].replace(FILE[8:16], struct.pack("<Q", 100000)) + b"[" * 100000, "nested"),
        (file_of({**header(), "version": 3}), "version is 3, this library reads 2; update"),
        (file_of({**header(), "programs": header()["programs"] * 2}), "'relu' is there twice"),
        (file_of(header(symbol="")), "symbol '' is not allowed"),
        (file_of(header(symbol=7)), "key 'symbol' must be a string"),
        (file_of(header(image=[1, CODE])), "bytes follow the last image"),
        (file_of(header(image=[0, -1])), "key 'image' is -1"),
        (file_of(header(dram_size=1 << 40)), "key 'dram_size' is 1099511627776"),
        (file_of(header(dram_size=16)), "image in DRAM"),
        (file_of(header(insn_count=1 << 20)), "key 'insn_count'"),
        (file_of(header(insn_count=9)), "the stream is"),
        (file_of(header(inputs=[{"name": "x", "addr": 0, "shape": [2, 3, 4]}])), r"\[N, C\]"),
        (
            file_of(header(inputs=[{"name": "x", "addr": 0, "shape": [1, 1 << 20, 1 << 20, 1]}])),
            "larger than any DRAM",
        ),
        (
            file_of(header(inputs=[{"name": "x", "addr": 0, "shape": [1 << 20, 1 << 20, 9, 9]}])),
            "larger than any DRAM",
        ),
        (
            file_of(header(outputs=[{"name": "y", "addr": CODE, "shape": [1, 20, 9, 9]}])),
            r"outputs\[0\]: the tensor is",
        ),
        (file_of(header(layers=[{"first": 7, "count": 2}])), "key 'count' is 2"),
        (file_of(header(buffers=[{"addr": CODE, "size": CODE}])), r"buffers\[0\]: the buffer"),
    ],
)
def test_wrong_bytes_are_refused_with_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        load_program_bytes(data)


def test_a_config_that_cannot_be_executed_is_refused() -> None:
    values = header()
    values["config"]["LOG_BATCH"] = 5
    with pytest.raises(ConfigError, match="key 'LOG_BATCH' is 5, allowed are 0 to 4"):
        load_program_bytes(file_of(values))


HEAD = len(FILE) - len(image())


@settings(max_examples=400)
@given(st.integers(0, HEAD * 8 - 1), st.integers(0, 7))
def test_a_flipped_bit_in_the_head_is_refused_or_harmless(bit: int, count: int) -> None:
    data = bytearray(FILE)
    for place in range(bit, min(bit + 1 + count, HEAD * 8)):
        data[place // 8] ^= 1 << place % 8
    try:
        module = load_program_bytes(bytes(data))
        call(module, *tensors())
    except (LcpError, AttributeError):
        return  # AttributeError: another symbol
    assert json.loads(module["lcp_tvm.header"]())["programs"][0]["insn_count"] == len(STREAM)


@settings(max_examples=100)
@given(st.integers(0, len(FILE) - 1))
def test_a_truncated_file_is_refused(size: int) -> None:
    with pytest.raises(PackageError):
        load_program_bytes(FILE[:size])


# Other processes

RUN = """
import sys
import numpy as np
import tvm_ffi
from lcp_tvm.vta.simulator import load_program_bytes, set_board
from lcp_tvm.vta.config import load_config
from lcp_tvm.errors import LcpError

if len(sys.argv) > 3:
    set_board(load_config(sys.argv[3]))
try:
    module = load_program_bytes(open(sys.argv[1], "rb").read())
except LcpError as error:
    sys.exit(f"{type(error).__name__}: {error}")
x = np.load(sys.argv[2])
y = np.zeros_like(x)
module["relu"](tvm_ffi.from_dlpack(x), tvm_ffi.from_dlpack(y))
assert (y == np.maximum(x, 0)).all()
"""


def run_elsewhere(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "net.vta").write_bytes(FILE)
    np.save(folder / "x.npy", tensors()[0])
    command = [sys.executable, "-c", RUN, str(folder / "net.vta"), str(folder / "x.npy")]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_fresh_process_loads_and_runs_it(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path, "pynq_z1")
    assert (done.returncode, done.stderr) == (0, "")


def test_another_boards_program_names_the_first_key_that_differs(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path, "ultra96")
    assert done.returncode == 1
    assert done.stderr.startswith("ConfigError: the program is for another board: its TARGET is ")
    assert f"this board has {load_config('ultra96').target}" in done.stderr


def test_it_runs_over_rpc() -> None:
    """A server with --load-library, a loaded module, remote tensors with DLTensor pointers."""
    from tvm import rpc, runtime

    command = [sys.executable, "-c", SERVER, str(native.library_path())]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            session = rpc.connect("127.0.0.1", int(server.stdout.readline()))
            session.upload(bytearray(FILE), target="net.vta")
            module = session.load_module("net.vta")
            x, y = tensors()
            remote_x = runtime.tensor(x, session.cpu())
            remote_y = runtime.empty(y.shape, "int8", session.cpu())
            module["relu"](remote_x, remote_y)
            np.testing.assert_array_equal(remote_y.numpy(), np.maximum(x, 0))
            assert parse_stats(module["lcp_tvm.stats"]("relu")).gemm_uops == 2 * BLOCKS
            del remote_x, remote_y, module, session
        finally:
            server.stdin.close()


# tvm's server takes port 0 for a failure: it gets the system's choice, or the next that is free.
SERVER = """
import socket, sys
from tvm.rpc.server import Server
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = Server("127.0.0.1", port, port + 100, load_library=sys.argv[1], silent=True)
print(server.port, flush=True)
sys.stdin.read()
server.terminate()
"""
