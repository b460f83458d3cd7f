"""Kernels read constants where the library has them: each once, and the numbers are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.cpu.build import build_module, link_shared
from lcp_tvm.cpu.constants import ALIGNMENT, LEAST_BYTES, write_constants
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.executor import load_local
from lcp_tvm.module_code import ModuleCode
from tests.cpu.emulated import EMULATED, run_emulated

SHAPE = (3, 5, 7, LEAST_BYTES)


def array(dtype: str, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 127, shape).astype(dtype)


def sums(*constants: np.ndarray, results: bool = False) -> tvm.IRModule:
    """x + c for each constant c; with ``results``, the constants themselves too."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1,), str(constants[0].dtype)))
    with builder.function("main", [x]):
        with builder.dataflow():
            values = [builder.emit(R.add(x, relax.const(c, str(c.dtype)))) for c in constants]
            if results:
                values += [relax.const(c, str(c.dtype)) for c in constants]
            output = builder.emit_output(relax.Tuple(values))
        builder.emit_func_output(output)
    return builder.get()


def build(module: tvm.IRModule, folder: Path, target: str = "cpu") -> bytes:
    build_module(module, parse_target(target), folder / "net.so")
    return (folder / "net.so").read_bytes()


def call(so: bytes, x: np.ndarray) -> list[np.ndarray]:
    return load_local([ModuleCode("net", ("main",), so)]).call("main", [x])


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "int64"])
def test_every_type_is_read_as_it_was(dtype: str, tmp_path: Path) -> None:
    """Two constants, so that the second one does not lie at the beginning."""
    first, second = array(dtype, (LEAST_BYTES + 1,)), array(dtype)
    x = array(dtype, (1,), seed=1)
    results = call(build(sums(first, second), tmp_path), x)
    np.testing.assert_array_equal(results[0], x + first)
    np.testing.assert_array_equal(results[1], x + second)


def test_results_that_are_constants_are_whole(tmp_path: Path) -> None:
    constant = array("float32")
    _, result = call(build(sums(constant, results=True), tmp_path), array("float32", (1,)))
    np.testing.assert_array_equal(result, constant)


@pytest.mark.parametrize("target", ["cpu", "arm:pynq", "arm:rpi3"])
def test_it_lies_in_the_file_once_and_aligned(target: str, tmp_path: Path) -> None:
    """Equal ones are one. A library is mapped by pages, so offsets are aligned as addresses are."""
    constant = array("float32")
    so = build(sums(constant, constant.copy()), tmp_path, target)
    assert so.count(constant.tobytes()) == 1
    assert so.index(constant.tobytes()) % ALIGNMENT == 0


def test_small_ones_need_no_data(tmp_path: Path) -> None:
    small = array("int8", (LEAST_BYTES - 1,))
    so = build(sums(small), tmp_path)
    assert b"lcp_constants" not in so
    x = array("int8", (1,), seed=1)
    np.testing.assert_array_equal(call(so, x)[0], x + small)


def test_modules_do_not_mix_up_their_constants(tmp_path: Path) -> None:
    x = array("float32", (1,), seed=9)
    built = []
    for seed in (1, 2):
        constant = array("float32", seed=seed)
        built.append((constant, build(sums(constant), tmp_path)))
    executors = [load_local([ModuleCode("net", ("main",), so)]) for _, so in built]
    for (constant, _), executor in zip(built, executors, strict=True):
        np.testing.assert_array_equal(executor.call("main", [x])[0], x + constant)


def test_what_depends_on_constants_alone_is_computed_beforehand(tmp_path: Path) -> None:
    weight = array("float32", (32, 16))
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1, 16), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            turned = builder.emit(R.permute_dims(relax.const(weight)))
            output = builder.emit_output(R.matmul(x, turned))
        builder.emit_func_output(output)
    so = build(builder.get(), tmp_path)
    assert weight.T.tobytes() in so
    assert weight.tobytes() not in so


@pytest.mark.parametrize("text", EMULATED)
def test_boards_have_them_too(text: str, tmp_path: Path) -> None:
    """The second constant, on an emulated ARM core: its type, shape and bytes."""
    first, second = array("int8", (LEAST_BYTES + 1,)), array("int8", seed=1)
    source = write_constants((first, second), tmp_path)
    link_shared([source], parse_target(text), tmp_path / "net.so")
    arguments = [str(tmp_path / "net.so"), "1", str(tmp_path / "read"), "8", str(second.ndim)]
    run_emulated(text, "read_constant.c", [*arguments, *map(str, second.shape)], tmp_path)
    assert (tmp_path / "read").read_bytes() == second.tobytes()
