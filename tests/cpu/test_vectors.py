"""Kernels fill the vector registers of the processor that they are compiled for, no wider ones."""

from __future__ import annotations

import re

import pytest
import tvm

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.epilogue import Step
from lcp_tvm.cpu.kernels.conv import Conv, conv_kernel
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.cpu.tile import choose_tile


def assembly(text: str) -> str:
    """A 1x1 convolution for a target."""
    target = parse_target(text)
    core = target.processor.core
    data, out = (Blocked(1, channels, 6, 6, core.lanes) for channels in (32, 64))
    conv = Conv(data, out, (1, 1), (1, 1), (0, 0), (1, 1), 1, (Step("relu"),))
    module = tvm.IRModule({"main": conv_kernel("main", conv, choose_tile(conv, core))})
    return str(tvm.compile(module, target=target.tvm_target()).mod.inspect_source("asm"))


@pytest.mark.parametrize(
    ("level", "product"),
    [
        ("x86-64-v2", r"mulps\t.*%xmm"),
        ("x86-64-v3", r"vfmadd231ps\t.*%ymm"),
        ("x86-64-v4", r"vfmadd231ps\t.*%zmm"),
        ("x86-64-v4-vnni", r"vfmadd231ps\t.*%zmm"),
    ],
)
def test_products_are_as_wide_as_registers(level: str, product: str) -> None:
    code = assembly(f"cpu:{level}")
    assert re.search(product, code)
    widest = max(re.findall(r"%([xyz])mm\d", code))
    assert widest == {"x86-64-v2": "x", "x86-64-v3": "y"}.get(level, "z")
