"""From a network's output to an answer that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.detections import Box, Detection, read_detections
from lcp_tvm.detector import Detector
from lcp_tvm.errors import InputError


@dataclass(frozen=True, slots=True)
class Guess:
    """One class: its number, label (or number as text), raw score and probability."""

    index: int
    label: str
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network says of one picture.

    ``guesses`` are the likeliest classes, best first; empty where the output is no vector of
    scores. ``shapes`` are those of all outputs. ``detections`` are what a detector finds, best
    first; None where the network is none.
    """

    picture: str
    shapes: tuple[tuple[int, ...], ...]
    guesses: tuple[Guess, ...]
    detections: tuple[Detection, ...] | None = None


def read_answer(
    picture: str,
    outputs: Sequence[npt.NDArray[Any]],
    labels: Sequence[str],
    top: int,
    detector: Detector | None = None,
    seen: Box = (0.0, 0.0, 1.0, 1.0),
) -> Answer:
    """Take the ``top`` likeliest classes from a classifier's output ``[1, C]`` or ``[1, C, 1, 1]``.

    Outputs that are no probabilities yet go through softmax. Those of a detector become boxes, of
    which all are taken; ``seen`` is as for `read_detections`.

    Raises
    ------
    InputError
        The outputs are none of this detector, or a classifier's scores are no numbers.
    """
    shapes = tuple(output.shape for output in outputs)
    if detector is not None:
        return Answer(picture, shapes, (), read_detections(outputs, detector, labels, seen))
    if len(outputs) != 1 or outputs[0].ndim < 2 or outputs[0].size != outputs[0].shape[1]:
        return Answer(picture, shapes, ())
    scores = np.maximum(np.asarray(outputs[0], np.float64).ravel(), np.finfo(np.float64).min)
    probabilities = _probabilities(scores)
    if np.isnan(probabilities).any():
        raise InputError(
            f"{picture}: the network answers {scores[~np.isfinite(scores)][0]}; its numbers grow "
            f"beyond float32, or its weights are damaged"
        )
    best = np.argsort(-scores, kind="stable")[:top]
    return Answer(
        picture,
        shapes,
        tuple(
            Guess(
                index=int(index),
                label=labels[index] if index < len(labels) else f"class {index}",
                score=float(scores[index]),
                probability=float(probabilities[index]),
            )
            for index in best
        ),
    )


def _probabilities(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if scores.min() >= 0 and abs(scores.sum() - 1) < 1e-2:
        return scores
    with np.errstate(invalid="ignore"):  # of infinity; the result is no number then
        powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())
