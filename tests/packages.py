"""Builders of small compiled networks and packages that need no compiler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tvm

from lcp_tvm.compiler import Compiled
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.lower import CompiledModule
from lcp_tvm.manifest import Piece
from lcp_tvm.module_code import ModuleCode
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.package import Package, write_package
from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import GATEWAY, Cost, Device, Function, Plan, Region, Task, Tensor
from lcp_tvm.quantise import LayerNoise
from lcp_tvm.targets import parse_targets
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.container import pack_programs, read_header
from lcp_tvm.vta.isa import Finish, encode

INSN_ADDR = 0x100


def a_compiled() -> Compiled:
    """A network of two layers, "conv" on the VTA and "softmax" on the CPU."""
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
        targets=parse_targets("vta:pynq_z1"),
        integer=None,
        plan=a_plan(),
        modules=(a_module(a_net_vta(), {"vta_0": some_stats()}),),
        noise=(
            LayerNoise("image", "input", None, None, 6, 48.25),
            LayerNoise("conv", "conv2d", 6, 7, 5, 31.5),
            LayerNoise("pool", "max_pool2d", 5, None, 5, math.inf),
        ),
        messages=("equalised the channels of 1 groups of tensors",),
    )


def a_module(vta: bytes, stats: Mapping[str, Any]) -> CompiledModule:
    """The function "network" for a VTA, whose programs are in ``vta``."""
    return CompiledModule(
        code=ModuleCode("network", ("network",), b"\x7fELF of the CPU part", vta),
        target=parse_target("vta:pynq_z1"),
        header=read_header(vta),
        stats=stats,
        pieces=(
            *(
                Piece("network", symbol, "vta", ("conv", "pool"), "fits the accelerator")
                for symbol in stats
            ),
            Piece("network", "cpu_0", "cpu", ("softmax",), "not for VTA"),
        ),
        reasons=("softmax: has no integer form",),
        measured_ms={"network": 0.117},
        peak_bytes={"network": 256},
    )


def a_cpu_compiled() -> Compiled:
    """The same network, all of it on the CPU and in float."""
    module = a_cpu_module("network", ("conv", "pool", "softmax"))
    return replace(a_compiled(), targets=parse_targets("cpu"), modules=(module,), noise=())


def a_cpu_module(function: str, operators: tuple[str, ...]) -> CompiledModule:
    """A module with one function for this machine."""
    return CompiledModule(
        code=ModuleCode(function, (function,), b"\x7fELF of the CPU part"),
        target=parse_target("cpu"),
        header={},
        stats={},
        pieces=(Piece(function, f"{function}_cpu_0", "cpu", operators, "not for VTA"),),
        reasons=(),
        measured_ms={},
        peak_bytes={function: 640},
    )


def a_split_compiled() -> Compiled:
    """The network as two halves on devices 0 and 1, and a head at the gateway, for CPUs."""
    halves = [((0, 1), (0, 3), (low, low + 4), (0, 8)) for low in (0, 4)]
    tasks = [
        Task(f"half_{n}", "half", (Region("image", box),), (Region("map", box),), n)
        for n, box in enumerate(halves)
    ]
    whole = Region("map", full_box((1, 3, 8, 8)))
    head = Task("head", "head", (whole,), (Region("scores", ((0, 1), (0, 2))),), GATEWAY)
    half = Tensor((1, 3, 4, 8), "float32")
    cost = Cost(macs=3_000_000, elements=96, weight_bytes=1000, peak_bytes=768)
    plan = replace(
        a_plan(),
        split="strips:2",
        tensors=a_plan().tensors | {"map": Tensor((1, 3, 8, 8), "float32")},  # type: ignore[operator]
        functions={
            "half": Function((half,), (half,), cost),
            "head": Function(
                (Tensor((1, 3, 8, 8), "float32"),), (Tensor((1, 2), "float32"),), Cost(macs=192)
            ),
        },
        tasks=(*tasks, head),
        devices=2,
    )
    modules = (a_cpu_module("half", ("conv",)), a_cpu_module("head", ("softmax",)))
    return replace(a_cpu_compiled(), plan=plan, modules=modules)


def a_plan(device: Device | None = 0) -> Plan:
    """One task, "network", that turns an image into two scores."""
    image, scores = Tensor((1, 3, 8, 8), "float32"), Tensor((1, 2), "float32")
    task = Task(
        "network",
        "network",
        (Region("image", full_box(image.shape)),),
        (Region("scores", full_box(scores.shape)),),
        device,
    )
    function = Function((image,), (scores,), Cost(macs=1_024_000, peak_bytes=768))
    tensors = {"image": image, "scores": scores}
    return Plan("tiny", "none", tensors, ("image",), ("scores",), {"network": function}, (task,))


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
            {
                "name": "conv",
                "kind": "conv2d",
                "first": 0,
                "count": 1,
                "macs": 1024000,
                "bound": 6400,
                "arm_us": 1234,
            },
            {"name": "pool", "kind": "max_pool2d", "first": 1, "count": 0, "macs": 0, "bound": 500},
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
