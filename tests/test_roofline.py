"""The roofline: a dot for every layer under the limits of its config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.package import write_package
from lcp_tvm.report import LayerCost, Report, build_report
from lcp_tvm.roofline import Dot, dots_of, plot_roofline
from tests.packages import a_cpu_compiled, a_package

PNG = b"\x89PNG\r"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return build_report(a_package(tmp_path))


def layer(report: Report, name: str, **changes: object) -> LayerCost:
    return replace(report.layers[0], name=name, **changes)  # type: ignore[arg-type]


def test_a_dot_is_products_per_byte_and_per_second(report: Report) -> None:
    conv, _ = report.layers
    (dot,) = dots_of(report.layers)
    assert dot.names == ("conv",)
    assert dot.intensity == pytest.approx(1_024_000 / (1024 + 2560 + 128))
    assert dot.gmac_s == pytest.approx(1.024e6 / 80e-6 / 1e9)
    assert (dot.share, dot.bound_by) == (pytest.approx(conv.ms / 0.1), "GEMM")


def test_layers_that_would_hide_one_another_are_one_dot(report: Report) -> None:
    layers = [layer(report, "a"), layer(report, "b"), layer(report, "slow", ms=0.5)]
    slow, both = dots_of(layers)
    assert (slow.names, both.names) == (("slow",), ("a", "b"))
    assert both.share == pytest.approx(0.16 / 0.66)
    assert both.label == "a +1"


def test_long_names_are_cut() -> None:
    assert Dot(("a" * 40, "b"), 1, 1, 1, "GEMM").label == "a" * 22 + "… +1"


@pytest.mark.parametrize("count", [1, 2, 40])
def test_draws_any_number_of_layers(report: Report, tmp_path: Path, count: int) -> None:
    layers = tuple(layer(report, f"l{n}", ms=0.01 * 1.1**n) for n in range(count))
    plot_roofline(replace(report, layers=layers), tmp_path / "roof.png")
    assert (tmp_path / "roof.png").read_bytes().startswith(PNG)


def test_every_config_has_its_lines(report: Report, tmp_path: Path) -> None:
    fast = replace(report.roofs[0], config="ultra96", gmac_s=85.2)
    plot_roofline(replace(report, roofs=(*report.roofs, fast)), tmp_path / "roof.svg")
    text = (tmp_path / "roof.svg").read_text()
    assert "pynq_z1: array, 25.6 GMAC/s" in text
    assert "ultra96: array, 85.2 GMAC/s" in text


def test_a_network_without_vta_layers_has_none(tmp_path: Path) -> None:
    report = build_report(write_package(a_cpu_compiled(), tmp_path / "cpu.lcp"))
    with pytest.raises(InputError, match=r"^tiny: no layer .* runs on a VTA; compile .*--target"):
        plot_roofline(report, tmp_path / "roof.png")


def test_a_picture_that_cannot_be_written(report: Report, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"roof\.png: cannot be written"):
        plot_roofline(report, tmp_path / "none" / "roof.png")
