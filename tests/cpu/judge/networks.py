"""The networks by which CPU pieces are judged, with random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network
from tests.networks import efficientnet_lite0, light_network, mobilenet, resnet18, vgg16
from tests.tables.yolov2 import yolov2

NETWORKS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "resnet18": resnet18,
    "mobilenetv1": mobilenet,
    "vgg16": lambda: vgg16(dense=True),
    "squeezenet": lambda: light_network("squeezenet"),
    "yolov2": lambda: to_onnx(yolov2(608)),
    "efficientnet-lite0": efficientnet_lite0,
}


def load(name: str) -> Network:
    """Import a network as a user's ONNX file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        onnx.save(NETWORKS[name](), path)
        return load_onnx(path)


def picture(network: Network) -> npt.NDArray[np.float32]:
    """An input of random numbers."""
    return np.random.default_rng(0).normal(size=network.input_shape).astype(np.float32)
