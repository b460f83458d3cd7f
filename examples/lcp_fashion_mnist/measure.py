"""What a trained network is worth and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from networks import LABELS

from lcp_tvm.frontend.load import load_network
from lcp_tvm.network import Network
from lcp_tvm.quantise import is_qdq, quantise
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.network_graph import read_graph
from lcp_tvm.relay_passes.piece import carve
from lcp_tvm.relay_passes.split import whole
from lcp_tvm.train.accuracy import accuracy
from lcp_tvm.train.data import Pictures, read_data
from lcp_tvm.train.int8 import integer_network
from lcp_tvm.train.qat import calibration
from lcp_tvm.train.torch_network import to_torch


@dataclass(frozen=True, slots=True)
class Measured:
    """Facts of a network.

    Attributes
    ----------
    accuracy : percent of the test pictures that are right.
    int8 : the same of the integers that VTA computes when the network is compiled for it.
    parameters : weights and biases of all branches.
    macs : multiply-accumulates of a picture, of all branches.
    """

    accuracy: float
    int8: float
    parameters: int
    macs: int


def measure(path: Path, data: Path) -> Measured:
    """Measure a network's file on all test pictures of a data set.

    A QDQ network is measured as integers alone.
    """
    network = load_network(path)
    trainable = to_torch(network.module)
    test = _read(data, network, "test")
    assert test.classes is not None
    if is_qdq(network.module):
        int8 = exact = accuracy(
            integer_network(network.module), test, network.preprocess, test.classes
        )
        graph = read_graph(lower_qdq(network.module))
    else:
        pictures = calibration(_read(data, network, "train"), network.preprocess, seed=0)
        quantised = integer_network(quantise(network, pictures).module)
        int8 = accuracy(quantised, test, network.preprocess, test.classes)
        exact = accuracy(trainable, test, network.preprocess, test.classes)
        graph = read_graph(network.module)
    return Measured(
        exact,
        int8,
        sum(layer.weight.numel() + layer.bias.numel() for layer in trainable.layers.values()),
        carve(graph, whole(graph, graph.outputs), graph.inputs).macs,
    )


def _read(data: Path, network: Network, part: str) -> Pictures:
    return read_data(data, network, labelled=True, classes=len(LABELS), part=part,
                     progress=lambda what, share: None)  # fmt: skip
