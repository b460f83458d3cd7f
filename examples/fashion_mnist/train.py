"""Train the bundled network on Fashion-MNIST and write everything that belongs to it.

    python examples/fashion_mnist/train.py

Needs torch (CPU is enough: about 17 minutes on one core) and Debian's dataset-fashion-mnist.
Writes beside this file: ``fashion_net.onnx``, ``preprocess.toml``, ``labels.txt``, ten test
pictures in ``pictures/`` and 64 training pictures in ``calibration/``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
# Pixel mean and deviation of the 28x28 training pictures, in units of value / 255.
MEAN, STD = 0.2860, 0.3530
PREPROCESS_TOML = f"""\
# Pictures are 32x32 grey: 28x28 of Fashion-MNIST with two black pixels on each side.
size = [32, 32]
mean = [{MEAN:.4f}]
std = [{STD:.4f}]
scale = {1 / 255!r}
channels = "L"
resize = "squash"
"""


@dataclass(frozen=True, slots=True)
class Pictures:
    """``pixels`` uint8 [N, 32, 32], ``classes`` int64 [N]."""

    pixels: np.ndarray
    classes: np.ndarray


def conv_bn(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Return a convolution that keeps the picture's size, with batch norm in place of a bias."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class FashionNet(nn.Module):
    """CifarNet with one residual block: [N, 1, 32, 32] -> [N, 10], 12.6 million MACs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 32, 5)
        self.block_a = conv_bn(32, 32, 3)
        self.block_b = conv_bn(32, 32, 3)
        self.widen = conv_bn(32, 64, 3)
        self.last = conv_bn(64, 64, 3)
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Linear(64, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.stem(x).relu(), 2)  # [N, 32, 16, 16]
        x = (x + self.block_b(self.block_a(x).relu())).relu()
        x = nn.functional.max_pool2d(self.widen(x).relu(), 3, stride=2, padding=1)  # [N, 64, 8, 8]
        x = self.last(x).relu()
        x = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.dense(self.dropout(x.flatten(1)))


def read_pictures(folder: Path, part: str) -> Pictures:
    """Read ``part`` ("train" or "t10k") of the data set's gzipped IDX files."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return Pictures(np.pad(pixels, ((0, 0), (2, 2), (2, 2))), classes)


def normalise(pixels: Tensor) -> Tensor:
    """Turn uint8 [N, 32, 32] into the network's float32 input [N, 1, 32, 32]."""
    return ((pixels.float() / 255 - MEAN) / STD)[:, None]


def augment(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each batch by up to two pixels."""
    mirror = torch.rand(len(pixels), generator=random) < 0.5
    pixels = torch.where(mirror[:, None, None], pixels.flip(2), pixels)
    shift = torch.randint(-2, 3, (2,), generator=random).tolist()
    return pixels.roll(shift, dims=(1, 2))  # the border is black, so nothing wraps around


def train(data: Pictures, epochs: int, seed: int) -> FashionNet:
    """Train with one-cycle SGD; no choice is made by looking at the test set."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    net, batch = FashionNet().train(), 100
    pixels, classes = torch.from_numpy(data.pixels), torch.from_numpy(data.classes)
    optimiser = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = epochs * (len(pixels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.1, total_steps=steps)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        for rows in torch.randperm(len(pixels), generator=random).split(batch):
            optimiser.zero_grad()
            loss = loss_of(net(normalise(augment(pixels[rows], random))), classes[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}/{epochs}: loss {total * batch / len(pixels):.4f}, "
              f"{seconds:.0f} s", flush=True)  # fmt: skip
    return net.eval()


def export(net: FashionNet, path: Path) -> None:
    """Write one ONNX file with weights, batch norms, preprocessing and labels inside.

    Written node by node so that every tensor has a name worth reading in a report.
    """
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}

    def node(op_type: str, inputs: list[str], out: str, **attributes: object) -> str:
        nodes.append(onnx.helper.make_node(op_type, inputs, [out], name=out, **attributes))
        return out

    def weight(name: str, values: Tensor) -> str:
        weights[name] = values.detach().numpy()
        return name

    def conv(x: str, name: str) -> str:
        convolution, norm = getattr(net, name)
        kernel, pads = list(convolution.kernel_size), list(convolution.padding) * 2
        w = weight(f"{name}_weight", convolution.weight)
        x = node("Conv", [x, w], f"{name}_conv", kernel_shape=kernel, pads=pads)
        statistics = [
            weight(f"{name}_norm_{key}", getattr(norm, key))
            for key in ("weight", "bias", "running_mean", "running_var")
        ]
        return node("BatchNormalization", [x, *statistics], f"{name}_norm", epsilon=norm.eps)

    x = node("Relu", [conv("picture", "stem")], "stem_relu")
    skip = node("MaxPool", [x], "stem_pool", kernel_shape=[2, 2], strides=[2, 2])
    x = node("Relu", [conv(skip, "block_a")], "block_a_relu")
    x = node("Add", [conv(x, "block_b"), skip], "block_add")
    x = node("Relu", [x], "block_relu")
    x = node("Relu", [conv(x, "widen")], "widen_relu")
    x = node("MaxPool", [x], "widen_pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = node("Relu", [conv(x, "last")], "last_relu")
    x = node("GlobalAveragePool", [x], "pool")
    x = node("Flatten", [x], "features")
    dense = [weight("dense_weight", net.dense.weight), weight("dense_bias", net.dense.bias)]
    node("Gemm", [x, *dense], "scores", transB=1)

    value_info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "fashion_net",
        [value_info("picture", onnx.TensorProto.FLOAT, [1, 1, 32, 32])],
        [value_info("scores", onnx.TensorProto.FLOAT, [1, len(LABELS)])],
        [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    preprocess = {"size": [32, 32], "mean": [MEAN], "std": [STD], "scale": 1 / 255,
                  "channels": "L", "resize": "squash"}  # fmt: skip
    onnx.helper.set_model_props(
        model,
        {"lcp_tvm.preprocess": json.dumps(preprocess), "lcp_tvm.labels": json.dumps(LABELS)},
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def predict(path: Path, data: Pictures) -> np.ndarray:
    """Return onnxruntime's float scores [N, 10] for all pictures."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = normalise(torch.from_numpy(data.pixels)).numpy()
    return np.concatenate([session.run(None, {"picture": x[None]})[0] for x in inputs])


def write_pictures(folder: Path, data: Pictures, rows: dict[str, int]) -> None:
    """Write ``data.pixels[row]`` as ``folder/name.png`` for each name, and nothing else there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, row in rows.items():
        Image.fromarray(data.pixels[row]).save(folder / f"{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="kept here; not trained again if there")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training = read_pictures(options.data, "train")
    test = read_pictures(options.data, "t10k")
    if options.weights and options.weights.exists():
        net = FashionNet().eval()
        net.load_state_dict(torch.load(options.weights, weights_only=True))
    else:
        net = train(training, options.epochs, options.seed)
        if options.weights:
            torch.save(net.state_dict(), options.weights)

    path = options.out / "fashion_net.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    export(net, path)
    scores = predict(path, test)
    with torch.no_grad():
        expected = net(normalise(torch.from_numpy(test.pixels))).numpy()
    assert np.allclose(scores, expected, atol=1e-4), "the ONNX file computes something else"
    right = scores.argmax(1) == test.classes
    print(f"test accuracy {right.mean():.2%} ({right.sum()} of {len(right)} pictures), "
          f"{path.stat().st_size} bytes")  # fmt: skip

    # The first test picture of each class that the network gets right.
    samples = {
        label: int(np.flatnonzero(right & (test.classes == index))[0])
        for index, label in enumerate(LABELS)
    }
    write_pictures(options.out / "pictures", test, samples)
    rows = np.random.default_rng(options.seed).choice(len(training.pixels), 64, replace=False)
    write_pictures(
        options.out / "calibration",
        training,
        {f"{number:02}": int(row) for number, row in enumerate(rows)},
    )
    (options.out / "preprocess.toml").write_text(PREPROCESS_TOML)
    (options.out / "labels.txt").write_text("\n".join(LABELS) + "\n")


if __name__ == "__main__":
    main()
