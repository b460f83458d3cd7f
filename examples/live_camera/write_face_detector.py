"""Rebuild face-api's tiny face detector as ``face_detector.onnx``.

    npm pack @vladmandic/face-api@1.7.15 && tar xf vladmandic-face-api-1.7.15.tgz
    python examples/live_camera/write_face_detector.py package/model

A small YOLOv2: a convolution without padding, five separable convolutions, a max pool behind each
of the six, and a 1x1 convolution that writes five boxes for each cell of a 13x13 grid. Weights are
stored in bytes, ``value = byte * scale + min``, and listed in a JSON manifest.

One thing is added: numbers are cut off at 8 and -8, beyond which their sigmoid says no more. They
reach 50 otherwise, and int8 numbers would have steps of a half.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

NAME = "tiny_face_detector_model"
SIZE = 416
SEPARABLE = 5
SLOPE = 0.1  # of leaky ReLU
LIMIT = 8.0
METADATA = {
    "lcp_tvm.preprocess": {
        "size": [SIZE, SIZE], "mean": [117.001, 114.697, 97.404], "std": [255.0], "scale": 1.0,
        "channels": "RGB", "resize": "pad",
    },
    "lcp_tvm.labels": ["face"],
    "lcp_tvm.detector": {
        "anchors": [[1.603231, 2.094468], [6.041143, 7.080126], [2.882459, 3.518061],
                    [4.266906, 5.178857], [9.041765, 10.66308]],
        "score": 0.5, "overlap": 0.4,
    },
}  # fmt: skip


@dataclass(slots=True)
class Builder:
    """An ONNX graph under construction; every method adds a layer and returns its tensor."""

    stored: dict[str, np.ndarray]  # by their names in the manifest
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, axes: tuple[int, ...]) -> str:
        values = np.ascontiguousarray(self.stored[name].transpose(axes))
        self.weights.append(onnx.numpy_helper.from_array(values, name.replace("/", "_")))
        return self.weights[-1].name

    def conv(self, x: str, name: str, filters: str) -> str:
        """Add a convolution; filters are stored as [KH, KW, in, out]."""
        weights = [
            self.weight(f"{name}/{filters}", (3, 2, 0, 1)),
            self.weight(f"{name}/bias", (0,)),
        ]
        return self.node("Conv", [x, *weights], name)

    def depthwise(self, x: str, name: str) -> str:
        """Add a 3x3 depthwise convolution; filters are stored as [3, 3, channels, 1]."""
        weights = self.weight(f"{name}/depthwise_filter", (2, 3, 0, 1))
        channels = self.weights[-1].dims[0]
        return self.node("Conv", [x, weights], f"{name}_depthwise", pads=[1] * 4, group=channels)

    def leaky(self, x: str) -> str:
        return self.node("LeakyRelu", [x], f"{x}_leaky", alpha=SLOPE)

    def clip(self, x: str, name: str, limit: float) -> str:
        for bound, value in (("least", -limit), ("most", limit)):
            self.weights.append(onnx.numpy_helper.from_array(np.float32(value), bound))
        return self.node("Clip", [x, "least", "most"], name)

    def pool(self, x: str, name: str, stride: int) -> str:
        """Pool 2x2; where the map is odd, or at stride 1, padding is right and below."""
        return self.node(
            "MaxPool", [x], name, kernel_shape=[2, 2], strides=[stride] * 2, auto_pad="SAME_UPPER"
        )


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Read the weights, float32, from the manifest and the bytes beside it."""
    (manifest,) = json.loads((folder / f"{NAME}-weights_manifest.json").read_text())
    stored = np.frombuffer((folder / f"{NAME}.bin").read_bytes(), np.uint8)
    weights, begin = {}, 0
    for entry in manifest["weights"]:
        end = begin + int(np.prod(entry["shape"]))
        how = entry["quantization"]
        values = stored[begin:end] * np.float64(how["scale"]) + how["min"]
        weights[entry["name"]] = values.astype(np.float32).reshape(entry["shape"])
        begin = end
    if begin != len(stored):
        raise SystemExit(f"{folder}: {len(stored)} bytes of weights, the manifest lists {begin}")
    return weights


def face_detector(folder: Path) -> onnx.ModelProto:
    """Build the network from the model's folder of the package."""
    graph = Builder(read_weights(folder))
    x = graph.leaky(graph.conv("picture", "conv0", "filters"))
    for number in range(1, SEPARABLE + 1):
        x = graph.pool(x, f"pool{number - 1}", stride=2)
        x = graph.depthwise(x, f"conv{number}")
        x = graph.leaky(graph.conv(x, f"conv{number}", "pointwise_filter"))
    x = graph.conv(graph.pool(x, f"pool{SEPARABLE}", stride=1), "conv8", "filters")
    x = graph.clip(x, "grid", LIMIT)
    picture = onnx.helper.make_tensor_value_info(
        "picture", onnx.TensorProto.FLOAT, [1, 3, SIZE, SIZE]
    )
    grid = onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, [1, 25, 13, 13])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "face_detector", [picture], [grid], graph.weights),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        producer_name="lcp-tvm",
        ir_version=8,
    )
    for key, value in METADATA.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder 'package/model' of the npm package")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("face_detector.onnx")
    )
    arguments = parser.parse_args()
    onnx.save(face_detector(arguments.model), arguments.output)


if __name__ == "__main__":
    main()
