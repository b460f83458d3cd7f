"""Parameters, MACs and layers of split networks against LCP, Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from tests.tables.architectures import mobilenet
from tests.tables.counting import count
from tests.tables.lcp_paper import (
    EXCEPTIONS,
    MERGE,
    ROWS,
    TOLERANCE,
    Row,
    difference,
    ours,
    row_named,
)

FIGURES = [(row.name, figure) for row in ROWS for figure in ("params", "macs")]


@pytest.mark.parametrize(("name", "figure"), [key for key in FIGURES if key not in EXCEPTIONS])
def test_our_count_is_the_printed_one_within_3_percent(name: str, figure: str) -> None:
    assert abs(difference(name, figure)) <= TOLERANCE


@pytest.mark.parametrize(("name", "figure"), list(EXCEPTIONS))
def test_what_is_listed_as_an_exception_is_one(name: str, figure: str) -> None:
    assert abs(difference(name, figure)) > TOLERANCE


def test_most_figures_are_no_exceptions() -> None:
    assert (len(FIGURES), len(EXCEPTIONS)) == (60, 22)


@pytest.mark.parametrize("row", [row for row in ROWS if row.layers], ids=lambda row: row.name)
def test_layers_are_the_printed_ones(row: Row) -> None:
    """ResNet-18 is printed with its dense layer among the convolutions, without projections.

    CifarNet is printed with two dense layers; its split2 has 5 = 2 * 2 + 1, so there are three.
    """
    layers = dict(ours(row.name).layers)
    if row.model == "ResNet-18":
        layers["c"] += layers.pop("fc") - 3 * row.branches
    elif row.model.startswith("CifarNet") and row.branches == 1:
        layers["fc"] -= 1
    printed = "-".join(f"{layers[kind]}{kind}" for kind in ("fc", "c", "p") if kind in layers)
    assert printed == row.layers


Layer = tuple[int, int, int]
"""Width, kernel, side of the result; a dense layer has a side of 1 and its input's as kernel."""

LENET: list[Layer] = [(6, 5, 28), (16, 5, 10), (120, 5, 1), (84, 1, 1), (10, 1, 1)]
CIFARNET: list[Layer] = [(64, 5, 28), (64, 5, 10), (384, 5, 1), (192, 1, 1), (100, 1, 1)]
VGG_S: list[Layer] = [
    (96, 7, 109), (256, 5, 33), (512, 3, 15), (512, 3, 13), (512, 3, 11),
    (4096, 4, 1), (4096, 1, 1), (102, 1, 1),
]  # fmt: skip
ALEXNET: list[Layer] = [
    (64, 11, 54), (192, 5, 26), (384, 3, 12), (384, 3, 12), (256, 3, 12),
    (4096, 5, 1), (4096, 1, 1), (1000, 1, 1),
]  # fmt: skip
VGG16: list[Layer] = [
    *[(64, 3, 224)] * 2, *[(128, 3, 112)] * 2, *[(256, 3, 56)] * 3, *[(512, 3, 28)] * 3,
    *[(512, 3, 14)] * 3, (4096, 7, 1), (4096, 1, 1), (1000, 1, 1),
]  # fmt: skip
CHAINS = {"LeNet": LENET, "CifarNet": CIFARNET, "VGG-S": VGG_S, "AlexNet": ALEXNET, "VGG16": VGG16}


def closed_form(row: Row, conv2_side: int | None = None) -> tuple[int, int, int]:
    """Weights and biases, MACs, and weights of a chain of layers, by hand.

    Parameters
    ----------
    conv2_side : of the second layer's result, in place of the right one.
    """
    chain: Sequence[Layer] = CHAINS[row.model]
    added = MERGE.get(row.model) == "sum"
    inputs = 1 if row.model == "LeNet" else 3
    weights = biases = macs = 0
    for number, (width, kernel, side) in enumerate(chain):
        copies = row.branches
        if number == len(chain) - 1:
            copies, inputs = 1, inputs if added else inputs * row.branches
        else:
            width = max(1, width // row.branches)
            width = (width * (100 + row.fatten) + 50) // 100
        side = conv2_side if number == 1 and conv2_side else side
        own = copies * width * inputs * kernel**2
        weights, biases, macs = weights + own, biases + copies * width, macs + own * side**2
        inputs = width
    return weights + biases, macs, weights


@pytest.mark.parametrize("row", [row for row in ROWS if row.model in CHAINS], ids=lambda r: r.name)
def test_chains_follow_the_closed_form(row: Row) -> None:
    params, macs, _ = closed_form(row)
    assert (ours(row.name).params, ours(row.name).macs) == (params, macs)


@pytest.mark.parametrize("branches", [2, 4, 8])
def test_all_of_resnet18_but_its_ends_divides(branches: int) -> None:
    """Every width divides, so n branches have 1/n of the weights; but each sees 3 input channels.

    What stays: conv1, the biases of batch normalisation, and the dense layer.
    """
    whole, split = ours("ResNet-18"), ours(f"ResNet-18-split{branches}")
    conv1, biases, dense = 64 * 3 * 7**2, 4800, 512 * 1000
    fixed = conv1 + biases + dense + 1000
    assert split.params == (whole.params - fixed) // branches + fixed
    fixed = conv1 * 112**2 + dense
    assert split.macs == (whole.macs - fixed) // branches + fixed


@pytest.mark.parametrize("row", [row for row in ROWS if row.model == "LeNet"], ids=lambda r: r.name)
def test_lenets_printed_macs_are_its_weights(row: Row) -> None:
    assert closed_form(row)[2] == pytest.approx(row.macs, rel=TOLERANCE)


@pytest.mark.parametrize("row", [r for r in ROWS if r.model == "AlexNet"], ids=lambda r: r.name)
def test_alexnets_printed_macs_are_those_of_an_unpadded_conv2(row: Row) -> None:
    assert closed_form(row, conv2_side=22)[1] == pytest.approx(row.macs, rel=0.01)


def test_vgg_s_would_need_about_9048_inputs_to_its_first_dense_layer() -> None:
    """The printed parameters less those of all other layers, over its 4096 outputs."""
    missing = row_named("VGG-S").params - ours("VGG-S").params
    assert 8192 + missing / 4096 == pytest.approx(9048, abs=2)


def test_resnet50s_printed_parameters_contradict_each_other() -> None:
    """Fattening by 40 % multiplies the inner weights by 1.96 and the dense layer's by 1.4."""

    def fattened(params: float) -> float:
        dense = 2048 * 1000
        return 1.96 * (params - dense) + 1.4 * dense

    printed = row_named("ResNet-50-split8-f40").params
    assert fattened(ours("ResNet-50-split8").params) == pytest.approx(printed, rel=TOLERANCE)
    assert fattened(row_named("ResNet-50-split8").params) > 1.08 * printed


@pytest.mark.parametrize("fatten", [0, 40])
def test_mobilenets_printed_parameters_are_of_neither_merge(fatten: int) -> None:
    row = next(r for r in ROWS if (r.model, r.branches, r.fatten) == ("MobileNet", 8, fatten))
    side_by_side = ours(row.name).params
    added = count(
        split_lcp_network(mobilenet(size=32), 8, fatten=fatten, merge="sum").module
    ).params
    assert (1 + TOLERANCE) * added < row.params < (1 - TOLERANCE) * side_by_side
