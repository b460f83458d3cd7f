"""LCP, Tables 2 and 3, as printed, and why some of the figures cannot be ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import tvm

from lcp_tvm.relay_passes.lcp_branches import Merge, split_lcp_network
from tests.tables import architectures as nets
from tests.tables.counting import Count, count

MODELS: Mapping[str, Callable[[], tvm.IRModule]] = {
    "LeNet-FC": nets.lenet_fc,
    "LeNet": nets.lenet,
    "CifarNet-10": lambda: nets.cifarnet(10),
    "CifarNet": lambda: nets.cifarnet(100),
    "VGG-S": lambda: nets.vgg_s(102),
    "ResNet-18": lambda: nets.resnet(18),
    "AlexNet": nets.alexnet,
    "VGG16": nets.vgg16,
    "ResNet-50": lambda: nets.resnet(50),
    "MobileNet": nets.mobilenet,
}
MERGE: Mapping[str, Merge] = {"CifarNet": "sum", "VGG-S": "sum", "AlexNet": "sum", "VGG16": "sum"}
"""Where branches are added and not put side by side. CifarNet-split2 has 410.48k parameters only
with 96 inputs to its classification layer, not 192; AlexNet-split8 6.32M only with 512."""


@dataclass(frozen=True)
class Row:
    """A row: parameters, multiply-accumulates, layers where they are printed (Table 2)."""

    model: str
    branches: int
    fatten: int
    params: float
    macs: float
    layers: str = ""

    @property
    def name(self) -> str:
        split = f"-split{self.branches}" if self.branches > 1 else ""
        return self.model + split + (f"-f{self.fatten}" if self.fatten else "")


ROWS = (
    Row("LeNet-FC", 1, 0, 266.6e3, 266.2e3, "3fc"),
    Row("LeNet", 1, 0, 61.7e3, 61.5e3, "2fc-3c-2p"),
    Row("LeNet", 2, 0, 31.5e3, 30.5e3, "3fc-6c-4p"),
    Row("LeNet", 4, 0, 16.1e3, 16.0e3, "5fc-12c-8p"),
    Row("LeNet", 8, 0, 8.8e3, 8.5e3, "9fc-24c-16p"),
    Row("CifarNet-10", 1, 0, 797.97e3, 14.79e6, "2fc-2c-2p"),
    Row("CifarNet", 1, 0, 815.34e3, 14.81e6, "2fc-2c-2p"),
    Row("CifarNet", 2, 0, 410.48e3, 9.33e6, "5fc-4c-4p"),
    Row("CifarNet", 4, 0, 208.05e3, 6.59e6, "9fc-8c-8p"),
    Row("CifarNet", 8, 0, 106.85e3, 5.23e6, "17fc-16c-16p"),
    Row("VGG-S", 1, 0, 60.79e6, 1.85e9, "3fc-5c-3p"),
    Row("VGG-S", 2, 0, 30.50e6, 1.01e9, "5fc-10c-6p"),
    Row("VGG-S", 4, 0, 15.26e6, 591.65e6, "9fc-20c-12p"),
    Row("VGG-S", 8, 0, 7.64e6, 382.51e6, "17fc-40c-24p"),
    Row("ResNet-18", 1, 0, 11.69e6, 1.82e9, "18c-2p"),
    Row("ResNet-18", 2, 0, 6.11e6, 0.98e9, "35c-3p"),
    Row("ResNet-18", 4, 0, 3.32e6, 0.55e9, "69c-5p"),
    Row("ResNet-18", 8, 0, 1.93e6, 0.34e9, "137c-9p"),
    Row("AlexNet", 1, 0, 50.3e6, 678.97e6),
    Row("AlexNet", 8, 0, 6.32e6, 145.37e6),
    Row("AlexNet", 8, 40, 12.11e6, 244e6),
    Row("VGG16", 1, 0, 138.36e6, 15.47e9),
    Row("VGG16", 8, 0, 7.64e6, 2.01e9),
    Row("VGG16", 8, 40, 33.78e6, 3.87e9),
    Row("ResNet-50", 1, 0, 22.80e6, 4.87e9),
    Row("ResNet-50", 8, 0, 5.42e6, 0.88e9),
    Row("ResNet-50", 8, 40, 8.60e6, 1.18e9),
    Row("MobileNet", 1, 0, 4.24e6, 4.86e9),
    Row("MobileNet", 8, 0, 1.12e6, 0.93e9),
    Row("MobileNet", 8, 40, 2.12e6, 1.34e9),
)


def row_named(name: str) -> Row:
    (row,) = (row for row in ROWS if row.name == name)
    return row


@cache
def measured(model: str) -> Mapping[str, Count]:
    """Count every row of a model, by the row's name."""
    module = MODELS[model]()
    merge = MERGE.get(model, "concat")
    return {
        row.name: count(
            split_lcp_network(module, row.branches, fatten=row.fatten, merge=merge).module
            if row.branches > 1
            else module
        )
        for row in ROWS
        if row.model == model
    }


def ours(name: str) -> Count:
    """Return what we count for a row."""
    return measured(row_named(name).model)[name]


TOLERANCE = 0.03


def difference(name: str, figure: str) -> float:
    """Return how far our parameters ("params") or MACs ("macs") are from the printed ones."""
    return float(getattr(ours(name), figure) / getattr(row_named(name), figure) - 1)


_LENET = (
    "the printed number is LeNet's weights, each counted once and not once per pixel; our count "
    "of weights is within 3 %"
)
_ALEXNET = (
    "the printed number is that of conv2 without padding (22x22), yet conv3-5 at 12x12, which "
    "only padding gives; counted so, ours is within 1 %"
)
_VGG_S = (
    "60.79M leave about 9,048 inputs for the first dense layer, which are no maps of 512 channels; "
    "4x4x512, to which the printed MACs lead, are 8,192"
)
_RESNET_MACS = (
    "ResNet-50 has 3.86G, as He et al. count, or 4.09G with the stride in its 3x3 layers; the "
    "printed 4.87G is neither, and the split rows exceed an eighth of it likewise"
)
_MOBILENET_MACS = (
    "MobileNet has 0.569G (arXiv 1704.04861, table 4); the printed 4.86G is ResNet-50's 4.87G"
)
_MOBILENET_PARAMS = (
    "of 1.12M, the classification layer alone has 1.03M where branches lie side by side; where "
    "they are added, all is 0.58M; neither way of merging fits either row"
)
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("LeNet", "macs"): _LENET,
    ("LeNet-split2", "macs"): _LENET,
    ("LeNet-split4", "macs"): _LENET,
    ("LeNet-split8", "macs"): _LENET,
    ("VGG-S", "params"): _VGG_S,
    ("VGG-S-split2", "params"): _VGG_S,
    ("VGG-S-split4", "params"): _VGG_S,
    ("VGG-S-split8", "params"): _VGG_S,
    ("AlexNet", "macs"): _ALEXNET,
    ("AlexNet-split8", "macs"): _ALEXNET,
    ("AlexNet-split8-f40", "macs"): _ALEXNET,
    ("VGG16-split8", "params"): (
        "7.64M is VGG-S-split8's number in Table 2; an eighth of VGG16 is 17.3M, and fattened by "
        "40 % that gives the 33.78M of the next row"
    ),
    ("ResNet-50", "params"): (
        "22.80M is less than ResNet-50's convolutions alone (23.45M); He et al. have 25.5M"
    ),
    ("ResNet-50-split8", "params"): (
        "8.60M of the next row is what 5.02M fattened by 40 % gives; 5.42M would give 9.5M"
    ),
    ("ResNet-50", "macs"): _RESNET_MACS,
    ("ResNet-50-split8", "macs"): _RESNET_MACS,
    ("ResNet-50-split8-f40", "macs"): _RESNET_MACS,
    ("MobileNet", "macs"): _MOBILENET_MACS,
    ("MobileNet-split8", "macs"): _MOBILENET_MACS,
    ("MobileNet-split8-f40", "macs"): _MOBILENET_MACS,
    ("MobileNet-split8", "params"): _MOBILENET_PARAMS,
    ("MobileNet-split8-f40", "params"): _MOBILENET_PARAMS,
}
"""Figures that differ by more than 3 %, with the reason."""
