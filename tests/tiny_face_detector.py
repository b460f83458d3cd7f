"""face-api's tiny face detector in numpy, NHWC as its authors compute it.

Written from the weights manifest and TypeScript of @vladmandic/face-api 1.7.15; it shares nothing
with the script that writes the ONNX file.
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = dict[str, Array]
Box = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the input

NAME = "tiny_face_detector_model"
MEAN_RGB = (117.001, 114.697, 97.404)
ANCHORS = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)
SCORE, OVERLAP = 0.5, 0.4
FILTERS = (16, 32, 64, 128, 256, 512)


def random_model(folder: Path, seed: int) -> None:
    """Write a model of the detector's shapes with random bytes, in the package's two files."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"conv0/filters": (3, 3, 3, 16), "conv0/bias": (16,)}
    for number, (before, after) in enumerate(pairwise(FILTERS), start=1):
        shapes[f"conv{number}/depthwise_filter"] = (3, 3, before, 1)
        shapes[f"conv{number}/pointwise_filter"] = (1, 1, before, after)
        shapes[f"conv{number}/bias"] = (after,)
    shapes |= {"conv8/filters": (1, 1, 512, 25), "conv8/bias": (25,)}
    weights, data = [], b""
    for name, shape in shapes.items():
        # Sums of as many products as an output has keep about the size of one.
        scale = 1.5 / 255 / np.sqrt(np.prod(shape[:3])) if len(shape) == 4 else 1 / 255
        quantization = {"dtype": "uint8", "scale": scale * 2, "min": -scale * 255}
        weights.append({"name": name, "shape": shape, "dtype": "float32"})
        weights[-1]["quantization"] = quantization
        data += random.integers(0, 256, np.prod(shape), np.uint8).tobytes()
    manifest = [{"weights": weights, "paths": [f"{NAME}.bin"]}]
    (folder / f"{NAME}-weights_manifest.json").write_text(json.dumps(manifest))
    (folder / f"{NAME}.bin").write_bytes(data)


def read_weights(folder: Path) -> Weights:
    """Read the weights as the manifest lists them."""
    entries: list[dict[str, Any]] = json.loads(
        (folder / f"{NAME}-weights_manifest.json").read_text()
    )[0]["weights"]
    data, found = (folder / f"{NAME}.bin").read_bytes(), {}
    for entry in entries:
        values, data = data[: np.prod(entry["shape"])], data[np.prod(entry["shape"]) :]
        scale, least = entry["quantization"]["scale"], entry["quantization"]["min"]
        whole = np.frombuffer(values, np.uint8).astype(np.float64)
        found[entry["name"]] = (whole * scale + least).reshape(entry["shape"])
    return found


def run(weights: Weights, picture: npt.NDArray[np.uint8]) -> Array:
    """Return the grid [H, W, 25] of a picture uint8 [H, W, 3] in RGB."""
    x = (picture - np.array(MEAN_RGB)) / 255
    x = _leaky(_convolution(x, weights["conv0/filters"]) + weights["conv0/bias"])
    for number in range(1, 6):
        x = _max_pool(x, stride=2)
        x = _depthwise(
            np.pad(x, ((1, 1), (1, 1), (0, 0))), weights[f"conv{number}/depthwise_filter"]
        )
        x = _convolution(x, weights[f"conv{number}/pointwise_filter"])
        x = _leaky(x + weights[f"conv{number}/bias"])
    x = _max_pool(x, stride=1)
    return _convolution(x, weights["conv8/filters"]) + weights["conv8/bias"]


def boxes(grid: Array) -> list[tuple[float, Box]]:
    """Return scores and boxes of what is found, the best first."""
    found = []
    rows, columns, _ = grid.shape
    for row in range(rows):
        for column in range(columns):
            for number, anchor in enumerate(ANCHORS):
                x, y, w, h, score = (float(v) for v in grid[row, column][number * 5 :][:5])
                if _sigmoid(score) > SCORE:
                    middle_x, middle_y = (
                        (column + _sigmoid(x)) / columns,
                        (row + _sigmoid(y)) / rows,
                    )
                    width, height = exp(w) * anchor[0] / columns, exp(h) * anchor[1] / rows
                    left, top = middle_x - width / 2, middle_y - height / 2
                    found.append((_sigmoid(score), (left, top, left + width, top + height)))
    kept: list[tuple[float, Box]] = []
    for score, box in sorted(found, reverse=True):
        if all(overlap(box, other) <= OVERLAP for _, other in kept):
            kept.append((score, box))
    return kept


def overlap(a: Box, b: Box) -> float:
    """Return intersection over union."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def _convolution(x: Array, filters: Array) -> Array:
    """Slide filters [KH, KW, C, O] over what is there, without padding."""
    height, width, *_ = filters.shape
    rows, columns = x.shape[0] - height + 1, x.shape[1] - width + 1
    total = np.zeros((rows, columns, filters.shape[3]))
    for dy in range(height):
        for dx in range(width):
            total += x[dy : dy + rows, dx : dx + columns] @ filters[dy, dx]
    return total


def _depthwise(x: Array, filters: Array) -> Array:
    rows, columns = x.shape[0] - 2, x.shape[1] - 2
    return sum(
        x[dy : dy + rows, dx : dx + columns] * filters[dy, dx, :, 0]
        for dy in range(3)
        for dx in range(3)
    )


def _max_pool(x: Array, stride: int) -> Array:
    """Pool 2x2 with TensorFlow's padding "same": what is missing lies right and below."""
    rows, columns = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    x = np.pad(x, ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    corners = [
        x[dy:, dx:][: rows * stride : stride, : columns * stride : stride]
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    return np.max([corner[:rows, :columns] for corner in corners], axis=0)


def _leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))
