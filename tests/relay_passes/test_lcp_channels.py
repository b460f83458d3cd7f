"""How wide a branch is, and which channels it begins with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import relax

from lcp_tvm.relay_passes.channel_groups import Group, read_channels
from lcp_tvm.relay_passes.lcp_channels import deal_units, narrow_width, rank_units
from lcp_tvm.relay_passes.network_graph import read_graph
from tests.quantise.float_builder import Floats


@pytest.mark.parametrize(
    ("width", "branches", "fatten", "narrow"),
    [
        (84, 8, 0, 10),  # LeNet-split8: rounded down
        (6, 4, 0, 1),
        (6, 8, 0, 1),  # at least one
        (64, 8, 40, 11),  # VGG16-split8-f40: 11.2 and
        (128, 8, 40, 22),  # 22.4 are rounded down,
        (256, 8, 40, 45),  # 44.8 up
        (6, 5, 200, 3),
        (2, 2, 100, 2),
    ],
)
def test_widths_are_those_of_the_papers_tables(
    width: int, branches: int, fatten: float, narrow: int
) -> None:
    assert narrow_width(Group("", width), branches, fatten) == narrow


def test_every_branch_sees_the_whole_input() -> None:
    assert narrow_width(Group("image", 3, fixed=True), 8, 0) == 3


def test_units_are_dealt_there_and_back() -> None:
    ranked = np.array([7, 1, 0, 2, 3, 5, 4, 6])
    hands = deal_units(ranked, 4, 2)
    assert [hand.tolist() for hand in hands] == [[2, 3, 6, 7], [0, 1, 4, 5]]


def test_fattened_branches_take_the_best_of_the_others() -> None:
    ranked = np.array([7, 1, 0, 2, 3, 5, 4, 6])
    hands = deal_units(ranked, 6, 2)
    assert [hand.tolist() for hand in hands] == [[0, 1, 2, 3, 6, 7], [0, 1, 2, 4, 5, 7]]


def test_more_branches_than_units_begin_alike() -> None:
    hands = deal_units(np.array([1, 0]), 1, 4)
    assert [hand.tolist() for hand in hands] == [[1], [0], [1], [0]]


@given(st.permutations(range(12)), st.integers(1, 12), st.integers(0, 12))
def test_together_the_branches_hold_as_much_as_they_can(
    ranked: list[int], branches: int, more: int
) -> None:
    width = min(12, 12 // branches + more)
    hands = deal_units(np.array(ranked), width, branches)
    assert all(len(set(hand.tolist())) == width for hand in hands)
    held = {unit for hand in hands for unit in hand.tolist()}
    assert len(held) == 12 if width * branches >= 12 and more else len(held) >= width


def test_importance_is_what_comes_in_times_what_goes_out() -> None:
    """Making a channel larger before and smaller after changes neither function nor rank."""

    def rank(gain: float) -> list[int]:
        f = Floats(1, 2, 4, 4, seed=3)
        into, out = f.normal(6, 2, 1, 1), f.normal(4, 6, 1, 1)
        into[2] *= gain
        out[:, 2] /= gain

        def body(f: Floats) -> object:
            return f.emit(_conv(f.relu(f.emit(_conv(f.x, into))), out))

        graph = read_graph(f.build(body))
        channels = read_channels(graph, graph.nodes)
        return rank_units(graph, graph.nodes, channels)[1].tolist()

    assert rank(1) == rank(16)


def _conv(x: object, weight: np.ndarray) -> object:
    return relax.op.nn.conv2d(x, relax.const(weight))
