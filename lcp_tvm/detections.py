"""What a detector finds in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.detector import Detector, class_count

MAX_CANDIDATES = 1000
"""Boxes that are compared with each other; of more, those with the best scores."""

_MAX_EXPONENT = 60.0  # any box that is so much larger than its anchor covers all

Box = tuple[float, float, float, float]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detection:
    """A box and what is in it.

    Attributes
    ----------
    index : of the class.
    score : from 0 to 1.
    box : left, top, right, bottom, as fractions of the picture's width and height.
    """

    index: int
    label: str
    score: float
    box: Box


def read_detections(
    outputs: Sequence[npt.NDArray[Any]],
    detector: Detector,
    labels: Sequence[str],
    seen: Box = (0.0, 0.0, 1.0, 1.0),
) -> tuple[Detection, ...]:
    """Return what a detector's output has boxes around, the best score first.

    Parameters
    ----------
    outputs : one, as `Detector` says it, of one picture.
    labels : of the classes; those that have none are "class N".
    seen : what the network saw of the picture (`lcp_tvm.pictures.seen_box`). Boxes are cut off at
        the picture's edges, and left out where nothing of them is in the picture.

    Raises
    ------
    InputError
        The output is none of this detector.
    """
    classes = class_count(detector, [output.shape for output in outputs], "detector")
    with np.errstate(invalid="ignore"):  # what is not finite is dropped
        scores, index, boxes = _candidates(np.asarray(outputs[0], np.float64), detector, classes)
    best = _best(scores, index, boxes, detector.overlap)
    left, top, right, bottom = seen
    size = np.array([right - left, bottom - top] * 2)
    shown = np.clip(boxes[best] * size + [left, top, left, top], 0.0, 1.0)
    return tuple(
        Detection(
            index=int(index[one]),
            label=labels[index[one]] if index[one] < len(labels) else f"class {index[one]}",
            score=float(scores[one]),
            box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        )
        for one, box in zip(best, shown, strict=True)
        if box[0] < box[2] and box[1] < box[3]
    )


def _candidates(
    output: Values, detector: Detector, classes: int
) -> tuple[Values, npt.NDArray[np.intp], Values]:
    """Return scores, classes and boxes above the score, as fractions of the input, best first."""
    count = len(detector.anchors)
    rows, columns = output.shape[2:]
    cells = output[0].reshape(count, -1, rows, columns)  # [A, 5 + K, H, W]
    scores, index = _sigmoid(cells[:, 4]), np.zeros((count, rows, columns), np.intp)
    if classes:
        powers = np.exp(cells[:, 5:] - cells[:, 5:].max(axis=1, keepdims=True))
        index = powers.argmax(axis=1)
        scores = scores * powers.max(axis=1) / powers.sum(axis=1)
    widths, heights = np.array(detector.anchors).T[:, :, None, None]
    x = (_sigmoid(cells[:, 0]) + np.arange(columns)) / columns
    y = (_sigmoid(cells[:, 1]) + np.arange(rows)[:, None]) / rows
    width = np.exp(np.minimum(cells[:, 2], _MAX_EXPONENT)) * widths / columns
    height = np.exp(np.minimum(cells[:, 3], _MAX_EXPONENT)) * heights / rows
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)
    found = np.flatnonzero((scores > detector.score) & np.isfinite(boxes).all(axis=-1))
    found = found[np.argsort(-scores.ravel()[found], kind="stable")][:MAX_CANDIDATES]
    return scores.ravel()[found], index.ravel()[found], boxes.reshape(-1, 4)[found]


def _best(
    scores: Values, index: npt.NDArray[np.intp], boxes: Values, overlap: float
) -> npt.NDArray[np.intp]:
    """Return which boxes stay: none shares too much with a better one of its class that stays."""
    kept: list[int] = []
    left = np.arange(len(scores))
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[(_overlap(boxes[best], boxes[left]) <= overlap) | (index[left] != index[best])]
    return np.array(kept, np.intp)


def _overlap(box: Values, others: Values) -> Values:
    """Return intersection over union of a box with others [N, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.maximum(sides, 0.0).prod(axis=1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    return np.asarray(both / np.maximum(area, np.finfo(np.float64).tiny))


def _sigmoid(values: Values) -> Values:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
