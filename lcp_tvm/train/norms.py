"""How training begins: norms for a network that has none, and weights as if nothing was learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from lcp_tvm.train.batch_norm import MOMENTUM, Norm
from lcp_tvm.train.batches import at_once
from lcp_tvm.train.layer import Layer, QuantisedLayer
from lcp_tvm.train.torch_network import TorchNetwork

CHUNK = 128  # pictures at a time, at most
SLOPE = 0.25  # of PReLUs at first, as He et al. 2015 have it

Deviation = Callable[[Layer], float]
"""The standard deviation of a layer's first weights."""


def lcp_deviation(_layer: Layer) -> float:
    """LCP, section 4.1: the same for all layers."""
    return 4e-2


def he_deviation(layer: Layer) -> float:
    """He et al. 2015: what is left of a signal through ReLUs neither grows nor fades."""
    return math.sqrt(2 / layer.inputs)


def add_norms(network: TorchNetwork, pictures: torch.Tensor) -> None:
    """Put a batch norm behind the product of every layer but the last.

    The network's function in inference stays the same: a norm's factor is the deviation that its
    products have on ``pictures`` [N, C, H, W], and the bias takes their mean back.

    Raises
    ------
    ValueError
        A layer is int8 already: the scales of its weights would not fit what a norm makes of them.
    """
    layers = dict(list(network.layers.items())[:-1])
    if any(isinstance(layer, QuantisedLayer) for layer in layers.values()):
        raise ValueError("int8 layers take no norms; add them before the network is quantised")
    sums = {name: _Sums() for name in layers}
    training = network.training
    network.eval()
    with torch.no_grad():
        for chunk in torch.split(pictures, at_once(pictures.shape, CHUNK)):
            operands = network.operands(chunk)
            for name, layer in layers.items():
                sums[name].add(layer.products(operands[name]))
        for name, layer in layers.items():
            mean, variance = sums[name].statistics()
            layer.norm = Norm(mean, variance)
            layer.bias.add_(mean)
    network.train(training)


@dataclass(slots=True, eq=False)
class _Sums:
    """Per channel, over all pictures so far: how many products, their sum, their squares."""

    count: int = 0
    total: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: torch.Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, products: torch.Tensor) -> None:
        products = products.double().transpose(0, 1).flatten(1)
        self.count += products.shape[1]
        self.total = self.total + products.sum(1)
        self.squares = self.squares + products.square().sum(1)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance, float32."""
        mean = self.total / self.count
        variance = self.squares / self.count - mean.square()
        return mean.float(), variance.clamp(min=0).float()


def reset(
    network: TorchNetwork,
    seed: int,
    pictures: torch.Tensor,
    deviation: Deviation = lcp_deviation,
) -> None:
    """Forget what was learnt: normal weights, biases 0, slopes 0.25, norms as they begin.

    The weights are a function of ``seed`` and the layers' shapes alone. Norms begin with the
    statistics of ``pictures`` [N, C, H, W]: after a brief training, invented ones would still show.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.layers.values():
            weight = torch.randn(layer.weight.shape, generator=random) * deviation(layer)
            layer.weight.copy_(weight)
            layer.bias.zero_()
            if layer.norm is not None:
                layer.norm.gamma.fill_(1)
        for slope in network.slopes.values():
            slope.weight.fill_(SLOPE)
        _measure(network, pictures[: max(2, at_once(pictures.shape, CHUNK))])  # one has no variance


def _measure(network: TorchNetwork, pictures: torch.Tensor) -> None:
    """Have every norm take the statistics that it divides these pictures by while training."""
    norms = [layer.norm for layer in network.layers.values() if layer.norm is not None]
    training = network.training
    network.train()
    for norm in norms:
        norm.momentum = 1.0
    network(pictures)
    for norm in norms:
        norm.momentum = MOMENTUM
    network.train(training)
