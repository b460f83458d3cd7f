"""Write ResNet-18 v1, and Capella's two branches of it with their dense layer, as Gluon's files.

    python write_networks.py FOLDER

As ``block.export()`` and ``Dense.save_parameters()`` write them, without MXNet. The weights are
random, always the same: what the files show is their form, and what becomes of it.
"""

from __future__ import annotations

import argparse
import json
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

WIDTHS = (64, 64, 128, 256, 512)  # of the first layer, and of four stages of two blocks
CLASSES = 10
SIZE = 64
_PREFIX = "resnetv10_"


class Network:
    """A symbol on its way; operators and weights have the names that Gluon gives them."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: dict[str, np.ndarray] = {}
        self.seed = seed

    def node(self, op: str, name: str, inputs: Sequence[int] = (), **attributes: object) -> int:
        """Append an operator; its number."""
        texts = {key: str(value) for key, value in attributes.items()}
        sources = [[number, 0, 0] for number in inputs]
        self.nodes.append({"op": op, "name": _PREFIX + name, "attrs": texts, "inputs": sources})
        return len(self.nodes) - 1

    def weight(self, kind: str, name: str, low: float, high: float, *shape: int) -> int:
        """Append a weight, uniform from low to high; ``kind`` is arg or aux."""
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        values = rng.uniform(low, high, shape).astype(np.float32)
        self.weights[f"{kind}:{_PREFIX}{name}"] = values
        return self.node("null", name)

    def convolution(
        self, name: str, data: int, inputs: int, width: int, stride: int, k: int
    ) -> int:
        """A convolution and its batch norm, which has the same number."""
        bound = (6 / (inputs * k * k)) ** 0.5
        weight = self.weight("arg", f"{name}_weight", -bound, bound, width, inputs, k, k)
        conv = self.node(
            "Convolution", f"{name}_fwd", [data, weight],
            kernel=(k, k), stride=(stride, stride), pad=(k // 2, k // 2), dilate=(1, 1),
            num_filter=width, num_group=1, no_bias=True, layout="NCHW",
        )  # fmt: skip
        norm = name.replace("conv", "batchnorm")
        norms = [
            self.weight("arg", f"{norm}_gamma", 0.4, 0.8, width),
            self.weight("arg", f"{norm}_beta", -0.2, 0.2, width),
            self.weight("aux", f"{norm}_running_mean", -0.2, 0.2, width),
            self.weight("aux", f"{norm}_running_var", 0.5, 1.5, width),
        ]
        return self.node(
            "BatchNorm", f"{norm}_fwd", [conv, *norms], eps=1e-05, fix_gamma=False, axis=1
        )

    def relu(self, name: str, data: int) -> int:
        return self.node("Activation", name, [data], act_type="relu")

    def stage(self, number: int, data: int, inputs: int, width: int, stride: int) -> int:
        """Two blocks of two convolutions, each beside a shortcut, a convolution if need be."""
        name, conv = f"stage{number}_", 0
        for block in (0, 1):
            shortcut = data
            inner = self.convolution(f"{name}conv{conv}", data, inputs, width, stride, 3)
            inner = self.relu(f"{name}relu{block}_fwd", inner)
            inner = self.convolution(f"{name}conv{conv + 1}", inner, width, width, 1, 3)
            conv += 2
            if inputs != width:
                shortcut = self.convolution(f"{name}conv{conv}", data, inputs, width, stride, 1)
                conv += 1
            data = self.node("elemwise_add", f"{name}_plus{block}", [shortcut, inner])
            data = self.relu(f"{name}activation{block}", data)
            inputs, stride = width, 1
        return data

    def write(self, path: Path) -> None:
        """Write ``NAME-symbol.json`` and ``NAME-0000.params``; the last operator is the result."""
        variables = [number for number, node in enumerate(self.nodes) if node["op"] == "null"]
        symbol = {
            "nodes": self.nodes,
            "arg_nodes": variables,
            "heads": [[len(self.nodes) - 1, 0, 0]],
            "attrs": {"mxnet_version": ["int", 10901]},
        }
        path.with_name(f"{path.name}-symbol.json").write_text(json.dumps(symbol, indent=2))
        path.with_name(f"{path.name}-0000.params").write_bytes(params(self.weights))


def resnet18_v1(
    widths: Sequence[int] = WIDTHS, classes: int | None = None, seed: int = 0
) -> Network:
    """ResNet-18 v1 of the model zoo; without ``classes`` it has no dense layer."""
    made = Network(seed)
    made.nodes.append({"op": "null", "name": "data", "inputs": []})
    data = made.convolution("conv0", 0, 3, widths[0], 2, 7)
    data = made.relu("relu0_fwd", data)
    data = made.node(
        "Pooling", "pool0_fwd", [data],
        kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", pooling_convention="valid",
    )  # fmt: skip
    for stage, (inputs, width) in enumerate(pairwise(widths), 1):
        data = made.stage(stage, data, inputs, width, stride=1 if stage == 1 else 2)
    data = made.node(
        "Pooling", "pool1_fwd", [data], kernel=(1, 1), global_pool=True, pool_type="avg"
    )
    if classes is not None:
        weight = made.weight("arg", "dense0_weight", -0.1, 0.1, classes, widths[-1])
        bias = made.weight("arg", "dense0_bias", -0.1, 0.1, classes)
        reads = [data, weight, bias]
        made.node("FullyConnected", "dense0_fwd", reads, num_hidden=classes, no_bias=False)
    return made


def dense(inputs: int, classes: int) -> dict[str, np.ndarray]:
    """A dense layer's weights, as ``Dense.save_parameters`` calls them."""
    rng = np.random.default_rng(2)
    weight = rng.uniform(-0.1, 0.1, (classes, inputs)).astype(np.float32)
    return {"weight": weight, "bias": np.zeros(classes, np.float32)}


def params(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A ``.params`` file of float32 arrays, in the version that MXNet 1.9 writes."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack("<Iii", 0xF993FAC9, 0, array.ndim))
        parts.append(struct.pack(f"<{array.ndim}qiii", *array.shape, 1, 0, 0) + array.tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(parts)


def write_all(folder: Path, widths: Sequence[int] = WIDTHS, size: int = SIZE) -> None:
    """Write the network, two branches of half its widths, their head, and what a picture is."""
    half = [width // 2 for width in widths]
    resnet18_v1(widths, CLASSES).write(folder / "resnet18")
    for branch in (0, 1):
        resnet18_v1(half, seed=1 + branch).write(folder / f"branch{branch}")
    (folder / "dense.params").write_bytes(params(dense(2 * half[-1], CLASSES)))
    (folder / "net.toml").write_text(f"size = [{size}, {size}]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_all(folder)
    for path in sorted(folder.iterdir()):
        print(f"{path.name:22} {path.stat().st_size:>11,}")


if __name__ == "__main__":
    main()
