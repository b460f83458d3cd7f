"""Reports: the figures, and the whole text at a fixed width."""

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from lcp_tvm.errors import PackageError
from lcp_tvm.manifest import Noise
from lcp_tvm.package import write_package
from lcp_tvm.report import build_report, report_json
from lcp_tvm.report_text import noise_table, pieces_table, render_report, size_text
from tests.packages import (
    a_compiled,
    a_cpu_compiled,
    a_module,
    a_net_vta,
    a_package,
    a_split_compiled,
    some_stats,
)

VTA_TEXT = """\
tiny for vta:pynq_z1: input image 1x3x8x8, 2 classes
modules/network.so 20 B, modules/network.vta {vta} B; made by lcp-tvm 1.0, tvm 0.27.0

What runs where
piece  device  operators      why
vta_0  vta     2: conv, pool  fits the accelerator
cpu_0  cpu     1: softmax     not for VTA
on the CPU: softmax: has no integer form

Simulated at 100 MHz
layer  kind        limited by  MMAC  cycles  load  compute  store     ms  of array  of bound
conv   conv2d      GEMM        1.02   8,000   900    6,000    400  0.080     50.0%       80%
pool   max_pool2d  GEMM        0.00   2,000     0    1,500    120  0.020         -       25%
total  1 program               1.02  10,000                        0.117     40.0%       69%

Group convolutions
layer  VTA ms  ARM ms, modelled
conv    0.080             1.234

Memory map
program  buffer           type        address     size
vta_0    weights of conv  int8     0x00000000    256 B
vta_0    instructions     uint128  0x00000100     16 B
vta_0    image            int8     0x00000200  1,024 B
vta_0    pool             int8     0x00000600    128 B

Signal over quantisation noise
layer  operator    fraction bits in  weights  out     dB
image  input                      -        -    6   48.2
conv   conv2d                     6        7    5   31.5
pool   max_pool2d                 5        -    5  exact
"""

CPU_TEXT = """\
tiny for cpu: input image 1x3x8x8, 2 classes
modules/network.so 20 B; made by lcp-tvm 1.0, tvm 0.27.0

What runs where
piece          device  operators               why
network_cpu_0  cpu     3: conv, pool, softmax  not for VTA
"""


SPLIT_TEXT = """\
tiny for cpu: input image 1x3x8x8, 2 classes
modules/half.so 20 B, modules/head.so 20 B; made by lcp-tvm 1.0, tvm 0.27.0

Functions of split strips:2
function  tasks  device   MMAC     in    out  weights  activations  VTA ms
half      2      0-1      3.00  384 B  384 B   1000 B        640 B       -
head      1      gateway  0.00  768 B    8 B      0 B        640 B       -

Devices of split strips:2
device   tasks  MMAC  received   sent   memory  VTA ms
0        1      3.00     384 B  384 B  1.6 KiB       -
1        1      3.00     384 B  384 B  1.6 KiB       -
gateway  1      0.00     768 B    0 B    640 B       -
all      3      6.00   1.5 KiB                       -

What runs where
piece       device  operators   why
half_cpu_0  cpu     1: conv     not for VTA
head_cpu_0  cpu     1: softmax  not for VTA
"""


def test_text_of_a_network_on_vta(tmp_path: Path) -> None:
    report = replace(
        build_report(a_package(tmp_path)),
        files={"modules/network.so": 20, "modules/network.vta": 999},
        versions={"tvm": "0.27.0", "lcp-tvm": "1.0"},
    )
    assert _text(render_report(report)) == VTA_TEXT.format(vta=999)


def test_text_of_a_network_on_the_cpu(tmp_path: Path) -> None:
    report = build_report(write_package(a_cpu_compiled(), tmp_path / "cpu.lcp"))
    report = replace(report, versions={"tvm": "0.27.0", "lcp-tvm": "1.0"})
    assert _text(render_report(report)) == CPU_TEXT


def test_one_class_is_told_as_one(tmp_path: Path) -> None:
    report = replace(build_report(a_package(tmp_path)), classes=1)
    assert _text(render_report(report)).splitlines()[0].endswith(" 1x3x8x8, 1 class")


def test_text_of_a_split_network(tmp_path: Path) -> None:
    report = build_report(write_package(a_split_compiled(), tmp_path / "split.lcp"))
    report = replace(report, versions={"tvm": "0.27.0", "lcp-tvm": "1.0"})
    assert _text(render_report(report)) == SPLIT_TEXT


def test_share_of_the_gemm_limit_is_ideal_over_taken_cycles(tmp_path: Path) -> None:
    """PYNQ does 1 x 16 x 16 multiply-accumulates a cycle."""
    report = build_report(a_package(tmp_path))
    conv, pool = report.layers
    assert conv.macs == 1_024_000
    assert conv.gemm_share == 1_024_000 / 256 / 8000.0
    assert conv.ms == pytest.approx(8000 / 100e6 * 1e3)
    assert pool.gemm_share == 0.0
    assert report.total is not None
    assert report.total.gemm_share == 1_024_000 / 256 / 10000.0
    assert report.total.ms == 0.117
    assert report.total.dram_bytes == 0x900
    assert report.total.dma_bytes == 1024 + 2560 + 128


def test_a_layer_says_how_near_its_bound_it_is_and_what_took_the_most(tmp_path: Path) -> None:
    report = build_report(a_package(tmp_path))
    conv, pool = report.layers
    assert (conv.bound, conv.bound_by) == (6400, "GEMM")
    assert report.total is not None
    assert report.total.bound == conv.bound + pool.bound


def test_json_holds_every_table(tmp_path: Path) -> None:
    values = json.loads(json.dumps(report_json(build_report(a_package(tmp_path))), allow_nan=False))
    assert values["total"]["macs"] == 1_024_000
    assert [row["name"] for row in values["layers"]] == ["conv", "pool"]
    assert values["buffers"][0]["address"] == 0
    assert [row["snr_db"] for row in values["noise"]] == [48.25, 31.5, None]
    assert values["pieces"][1] == {
        "function": "network",
        "name": "cpu_0",
        "device": "cpu",
        "operators": ["softmax"],
        "reason": "not for VTA",
    }


def test_counters_of_another_program_are_refused(tmp_path: Path) -> None:
    module = a_module(a_net_vta(), {"vta_7": some_stats()})
    package = write_package(replace(a_compiled(), modules=(module,)), tmp_path / "x.lcp")
    with pytest.raises(PackageError, match=r"network\.vta and the manifest do not match"):
        build_report(package)


def test_counters_that_lack_a_layer_are_refused(tmp_path: Path) -> None:
    module = a_module(a_net_vta(), {"vta_0": some_stats() | {"layers": []}})
    package = write_package(replace(a_compiled(), modules=(module,)), tmp_path / "x.lcp")
    with pytest.raises(PackageError, match="counters of vta_0 lack layers"):
        build_report(package)


def test_worst_layers_come_first() -> None:
    rows = [Noise(f"l{db}", "conv2d", 1, 2, 3, float(db)) for db in (30, 10, 20)]
    rows.append(Noise("p", "max_pool2d", 3, None, 3, math.inf))
    assert _text(noise_table(rows, worst=2)) == (
        "Signal over quantisation noise (the worst 2 of 4)\n"
        "layer  operator  fraction bits in  weights  out    dB\n"
        "l10    conv2d                   1        2    3  10.0\n"
        "l20    conv2d                   1        2    3  20.0\n"
    )


def test_long_lists_of_operators_are_cut(tmp_path: Path) -> None:
    piece = replace(build_report(a_package(tmp_path)).pieces[0], operators=tuple("abcdef"))
    assert "6: a, b, c and 3 more" in _text(pieces_table([piece]))


def test_names_with_brackets_are_no_markup(tmp_path: Path) -> None:
    piece = replace(build_report(a_package(tmp_path)).pieces[0], operators=("[red]x[/red]",))
    assert "1: [red]x[/red]" in _text(pieces_table([piece]))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_500_000, "1.4 MiB"),
        (1 << 42, "4096.0 GiB"),
    ],
)
def test_sizes_have_units(size: int, text: str) -> None:
    assert size_text(size) == text


def _text(table: RenderableType) -> str:
    """The text at 100 columns, without the blanks that fill its lines."""
    console = Console(file=StringIO(), width=100)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())
