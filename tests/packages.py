"""Builders of small compiled networks and packages that need no compiler."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import tvm

from lcp_tvm.compiler import Compiled
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.manifest import Piece
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.package import Package, write_package
from lcp_tvm.quantise import LayerNoise
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.container import pack_programs, read_header
from lcp_tvm.vta.isa import Finish, encode

INSN_ADDR = 0x100


def a_compiled() -> Compiled:
    """A network of two layers, "conv" on the VTA and "softmax" on the CPU."""
    net_vta = a_net_vta()
    return Compiled(
        network=Network(
            name="tiny",
            module=tvm.IRModule({}),
            input_name="image",
            input_shape=(1, 3, 8, 8),
            preprocess=Preprocess((8, 8), (0.5,), (0.25,), 1 / 255, "RGB", "crop"),
            labels=("cat", "dog"),
            messages=("the batch dimension was fixed to 1",),
        ),
        target=parse_target("vta:pynq_z1"),
        integer=None,
        net_so=b"\x7fELF of the CPU part",
        net_vta=net_vta,
        header=read_header(net_vta),
        stats={"vta_0": some_stats()},
        noise=(
            LayerNoise("image", "input", None, None, 6, 48.25),
            LayerNoise("conv", "conv2d", 6, 7, 5, 31.5),
            LayerNoise("pool", "max_pool2d", 5, None, 5, math.inf),
        ),
        messages=("equalised the channels of 1 groups of tensors",),
        pieces=(
            Piece("vta_0", "vta", ("conv", "pool"), "fits the accelerator"),
            Piece("cpu_0", "cpu", ("softmax",), "not for VTA"),
        ),
        reasons=("softmax: has no integer form",),
    )


def a_cpu_compiled() -> Compiled:
    """The same network, all of it on the CPU and in float."""
    return replace(
        a_compiled(),
        target=parse_target("cpu"),
        net_vta=None,
        header={},
        stats={},
        noise=(),
        pieces=(Piece("cpu_0", "cpu", ("conv", "pool", "softmax"), "not for VTA"),),
        reasons=(),
    )


def a_net_vta() -> bytes:
    """One program that only finishes, with the memory map of two layers."""
    config = load_config("pynq_z1")
    image = bytearray(0x120)
    image[INSN_ADDR : INSN_ADDR + 16] = encode(Finish(), config)
    program: dict[str, Any] = {
        "symbol": "vta_0",
        "dram_size": 0x900,
        "insn_addr": INSN_ADDR,
        "insn_count": 1,
        "inputs": [{"name": "image", "addr": 0x200, "shape": [1, 3, 8, 8]}],
        "outputs": [{"name": "pool", "addr": 0x600, "shape": [1, 20, 2, 2]}],
        "buffers": [
            {"name": "instructions", "addr": INSN_ADDR, "size": 16, "dtype": "uint128"},
            {"name": "weights of conv", "addr": 0, "size": 256, "dtype": "int8"},
            {"name": "image", "addr": 0x200, "size": 1024, "dtype": "int8"},
            {"name": "pool", "addr": 0x600, "size": 128, "dtype": "int8"},
        ],
        "layers": [
            {"name": "conv", "kind": "conv2d", "first": 0, "count": 1, "macs": 1024000},
            {"name": "pool", "kind": "max_pool2d", "first": 1, "count": 0, "macs": 0},
        ],
    }
    return pack_programs(config.to_json(), [program], [bytes(image)])


def some_stats() -> dict[str, Any]:
    """Counters of `a_net_vta`, in the form of docs/architecture.md."""
    layers = [_counters(8000.0, 900.0, 6000.0, 400.0), _counters(2000.0, 0.0, 1500.5, 120.0)]
    return {**_counters(10000.0, 900.0, 7500.5, 520.0), "ms": 0.117, "layers": layers}


def a_package(folder: Path) -> Package:
    """`a_compiled`, written to ``folder/tiny.lcp``."""
    return write_package(a_compiled(), folder / "tiny.lcp")


def _counters(cycles: float, load: float, compute: float, store: float) -> dict[str, Any]:
    return {
        "cycles": cycles,
        "units": {"load": load, "compute": compute, "store": store},
        "instructions": {"GEMM": 4, "FINISH": 1},
        "gemm_uops": 4000,
        "alu_uops": 50,
        "bytes": {"INP": 1024, "WGT": 2560, "OUT": 128},
        "rows": {"INP": 8, "WGT": 1, "OUT": 2},
    }
