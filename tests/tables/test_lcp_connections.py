"""LCP, Figure 11: the pairs that have to talk, with model parallelism and with LCP branches.

The figure's bars are not in the paper's text; these are counted from our plans. With L layers on
n devices, output split: the input goes to n devices, each of L - 1 results from every device to
all others, and the last from n devices to one: 2 n + (L - 1) n (n - 1). Branches: 2 n.
"""

from __future__ import annotations

from functools import lru_cache

import pytest
import tvm

from lcp_tvm.plan.edges import connections, crossings
from lcp_tvm.plan.plan import Plan
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.split_layers import split_layers
from lcp_tvm.relay_passes.split_lcp import split_lcp
from tests.tables.lcp_paper import MERGE, MODELS

LAYERS = {"AlexNet": 8, "VGG16": 16, "ResNet-18": 18, "ResNet-50": 50}
"""Convolutions and dense layers in a row. Projections on shortcuts add no pair: what they read
has been sent for the layer beside them."""


@lru_cache(maxsize=1)
def network(model: str) -> tvm.IRModule:
    return MODELS[model]()


def plans(model: str, devices: int) -> tuple[Plan, Plan]:
    """Model parallelism by output channels, and LCP."""
    module = network(model)
    branches = split_lcp_network(module, devices, merge=MERGE.get(model, "concat"))
    return (
        split_layers(read_graph(module), model, devices).plan,
        split_lcp(read_graph(branches.module), model).plan,
    )


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("model", list(LAYERS))
def test_connections_are_those_of_the_closed_forms(model: str, devices: int) -> None:
    model_parallel, lcp = plans(model, devices)
    between = (LAYERS[model] - 1) * devices * (devices - 1)
    assert connections(model_parallel) == 2 * devices + between
    assert connections(lcp) == 2 * devices


@pytest.mark.parametrize(
    ("model", "times"), [("AlexNet", 2.1), ("ResNet-18", 12.4), ("ResNet-50", 53.6)]
)
def test_branches_send_fewer_bytes(model: str, times: float) -> None:
    """Eight devices, the input included. The paper's text says 8 times less for its networks."""

    def sent(plan: Plan) -> int:
        return sum(plan.nbytes(edge.region) for edge in crossings(plan))

    model_parallel, lcp = plans(model, 8)
    assert sent(model_parallel) / sent(lcp) == pytest.approx(times, abs=0.05)
