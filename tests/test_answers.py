"""Answers: the likeliest classes of a classifier's output."""

import math

import numpy as np
import pytest

from lcp_tvm.answers import read_answer
from lcp_tvm.detections import Detection
from lcp_tvm.detector import Detector
from lcp_tvm.errors import InputError

LABELS = ("cat", "dog")


def test_classes_come_by_score_with_their_softmax() -> None:
    scores = np.array([[1.0, 3.0, 2.0]], np.float32)
    answer = read_answer("x.png", [scores], LABELS, top=2)
    assert [(guess.index, guess.label, guess.score) for guess in answer.guesses] == [
        (1, "dog", 3.0),
        (2, "class 2", 2.0),
    ]
    powers = np.exp([3.0, 2.0, 1.0])
    expected = (powers / powers.sum())[:2]
    assert [guess.probability for guess in answer.guesses] == pytest.approx(expected)


def test_probabilities_stay_as_they_are() -> None:
    answer = read_answer("x.png", [np.array([[0.25, 0.75]], np.float32)], LABELS, top=5)
    assert [guess.probability for guess in answer.guesses] == [0.75, 0.25]


def test_equal_scores_keep_the_classes_order() -> None:
    answer = read_answer("x.png", [np.zeros((1, 4, 1, 1), np.float32)], (), top=3)
    assert [guess.index for guess in answer.guesses] == [0, 1, 2]


@pytest.mark.parametrize(
    "outputs",
    [[np.zeros((1, 5, 2, 2))], [np.zeros((1, 5)), np.zeros((1, 5))], [np.zeros(5)]],
)
def test_other_outputs_only_have_a_shape(outputs: list[np.ndarray]) -> None:
    answer = read_answer("x.png", outputs, LABELS, top=1)
    assert answer.guesses == ()
    assert answer.shapes == tuple(output.shape for output in outputs)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers(score: float) -> None:
    with pytest.raises(InputError, match=f"x.png: the network answers {score}; its numbers grow"):
        read_answer("x.png", [np.array([[1.0, score]], np.float32)], LABELS, top=1)


def test_a_class_that_is_impossible() -> None:
    """As the logarithm of 0; the answer can be told as JSON."""
    answer = read_answer("x.png", [np.array([[1.0, -np.inf]], np.float32)], LABELS, top=2)
    assert [guess.probability for guess in answer.guesses] == [1, 0]
    assert all(math.isfinite(guess.score) for guess in answer.guesses)


def test_a_detector_has_boxes_instead_of_classes() -> None:
    output = np.zeros((1, 5, 1, 1), np.float32)
    output[0, 4] = 50.0
    detector = Detector(((0.5, 0.5),))
    answer = read_answer("x.png", [output], LABELS, top=1, detector=detector)
    assert answer.guesses == ()
    assert answer.detections == (Detection(0, "cat", 1.0, (0.25, 0.25, 0.75, 0.75)),)
    output[0, 4] = -50.0
    assert read_answer("x.png", [output], LABELS, top=1, detector=detector).detections == ()


def test_a_classifier_detects_nothing_at_all() -> None:
    assert read_answer("x.png", [np.zeros((1, 4))], LABELS, top=1).detections is None
