"""A network and pictures small enough to train in a test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lcp_tvm.network import Preprocess
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.torch_network import TorchNetwork

PREPROCESS = Preprocess((8, 8), (0.5,), (0.5,), channels="L")


def bars(count: int, seed: int, *, labelled: bool = True) -> Pictures:
    """Noisy grey 8x8 pictures with a bright bar: upright (class 0) or lying (class 1)."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 120, (count, 1, 8, 8), np.uint8)
    classes = random.integers(0, 2, count)
    for picture, one, place in zip(pixels, classes, random.integers(0, 8, count), strict=True):
        picture[0, place if one else slice(None), slice(None) if one else place] = 200
    return Pictures(pixels, classes if labelled else None)


class TinyNetwork(TorchNetwork):
    """Two branches of one convolution and norm, and a dense layer, as `to_torch` would make."""

    def __init__(self, seed: int, width: int = 4) -> None:
        nn.Module.__init__(self)
        self.text = "tiny"
        random = torch.Generator().manual_seed(seed)
        self.branches = nn.ModuleDict(
            {f"b{branch}_relu": _branch(width, random) for branch in range(2)}
        )
        self.dense = nn.Linear(2 * width, 2)
        _draw(self.dense.weight, random)
        nn.init.zeros_(self.dense.bias)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.values(x, [])[""]

    def values(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        made = {name: branch(x).amax((2, 3)) for name, branch in self.branches.items()}
        made["merged"] = torch.cat(list(made.values()), 1)
        made[""] = self.dense(made["merged"])
        return {name: made[name] for name in (*names, "")}


def _branch(width: int, random: torch.Generator) -> nn.Module:
    conv = nn.Conv2d(1, width, 3, padding=1, bias=False)
    _draw(conv.weight, random)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def _draw(weight: Tensor, random: torch.Generator) -> None:
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=random) * 0.3)
