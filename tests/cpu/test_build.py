"""CPU parts are linked with ziglang for every target, and run where they can be run."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.build import build_module, run_zig
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.errors import ModelError
from lcp_tvm.executor import load_local
from lcp_tvm.module_code import ModuleCode
from tests.cpu.emulated import EMULATED, run_functions
from tests.reference import evaluate
from tests.vta import builders

ELF_MACHINE = {"cpu": 62, "arm:pynq": 40, "arm:rpi3": 183, "arm:rpi4": 183, "arm:rpi5": 183}
"""e_machine of x86-64, 32-bit ARM and AArch64."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def conv_module(rng: np.random.Generator) -> tvm.IRModule:
    weight = rng.integers(-128, 128, (12, 8, 3, 3)).astype(np.int8)
    return builders.module_of(
        {"x": (1, 8, 9, 7)},
        lambda emit, params: emit(R.nn.conv2d(params[0], relax.const(weight), out_dtype="int32")),
    )


@pytest.mark.parametrize("text", ELF_MACHINE)
def test_every_target_gives_a_library_of_its_machine(
    text: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "net.so"
    build_module(conv_module(rng), parse_target(text), path)
    header = path.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert struct.unpack("<H", header[18:20])[0] == ELF_MACHINE[text]
    assert [file.name for file in tmp_path.iterdir()] == ["net.so"]


def test_the_hosts_library_runs(tmp_path: Path, rng: np.random.Generator) -> None:
    module = conv_module(rng)
    build_module(module, parse_target("cpu"), tmp_path / "net.so")
    (x,) = builders.random_inputs(rng, module)
    code = ModuleCode("net", ("main",), (tmp_path / "net.so").read_bytes())
    (result,) = load_local([code]).call("main", [x])
    np.testing.assert_array_equal(result, evaluate(module, x))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 8, 9, 6), "int8"), ((8, 9, 7), "int8"), ((1, 8, 9, 7), "float32")]
)
def test_a_function_refuses_what_it_was_not_compiled_for(
    shape: tuple[int, ...], dtype: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Functions check it for their kernels, which do not."""
    build_module(conv_module(rng), parse_target("cpu"), tmp_path / "net.so")
    code = ModuleCode("net", ("main",), (tmp_path / "net.so").read_bytes())
    with pytest.raises((ValueError, RuntimeError), match=r"param\[0\]"):
        load_local([code]).call("main", [np.zeros(shape, dtype)])


@pytest.mark.parametrize("text", EMULATED)
def test_an_arm_library_runs_under_qemu(
    text: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """The cross-compiled convolution gives numpy's bits on an emulated ARM core."""
    target, module = parse_target(text), conv_module(rng)
    build_module(module, target, tmp_path / "net.so")

    (x,) = builders.random_inputs(rng, module)
    conv = module["main"].body.blocks[0].bindings[0].value
    weight = conv.args[1].value.numpy()
    expected = evaluate(module, x)
    calls = {"conv2d": [x, weight, np.zeros_like(expected)]}
    results = run_functions(text, tmp_path / "net.so", calls, tmp_path)
    np.testing.assert_array_equal(results["conv2d"], expected)


def test_a_link_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="linker") as caught:
        run_zig([str(tmp_path / "missing.o")], parse_target("cpu"), tmp_path / "out")
    assert "\n" not in str(caught.value)
