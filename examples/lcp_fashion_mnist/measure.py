"""What a trained network is worth and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from networks import LABELS

from lcp_tvm.frontend.load import load_network
from lcp_tvm.quantise import is_qdq
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.piece import carve
from lcp_tvm.relay_passes.split import whole
from lcp_tvm.train.accuracy import accuracy
from lcp_tvm.train.data import read_data
from lcp_tvm.train.int8 import integer_network
from lcp_tvm.train.torch_network import to_torch


@dataclass(frozen=True, slots=True)
class Measured:
    """Facts of a network.

    Attributes
    ----------
    accuracy : percent of the test pictures that are right.
    parameters : weights and biases of all branches.
    macs : multiply-accumulates of a picture, of all branches.
    """

    accuracy: float
    parameters: int
    macs: int


def measure(path: Path, data: Path) -> Measured:
    """Measure a network's file on all test pictures of a data set.

    A QDQ network is measured as the integers that VTA computes.
    """
    network = load_network(path)
    trainable = to_torch(network.module)
    form, module = trainable, network.module
    if is_qdq(network.module):
        form, module = integer_network(network.module), lower_qdq(network.module)
    test = read_data(data, network, labelled=True, classes=len(LABELS), part="test",
                     progress=lambda what, part: None)  # fmt: skip
    assert test.classes is not None
    graph = read_graph(module)
    return Measured(
        accuracy(form, test, network.preprocess, test.classes),
        sum(layer.weight.numel() + layer.bias.numel() for layer in trainable.layers.values()),
        carve(graph, whole(graph, graph.outputs), graph.inputs).macs,
    )
