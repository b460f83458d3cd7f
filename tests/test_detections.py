"""Boxes of a detector's output, against a decoder that takes one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.detections import MAX_CANDIDATES, Detection, read_detections
from lcp_tvm.detector import Detector
from lcp_tvm.errors import InputError
from tests import tiny_face_detector as reference

FACES = Detector(reference.ANCHORS, reference.SCORE, reference.OVERLAP)
ONE = Detector(((2.0, 1.0),))
NOTHING, CERTAIN = -50.0, 50.0


def grid(rows: int, columns: int, classes: int = 0) -> np.ndarray:
    """Return an output with one anchor in which nothing is found; offsets are half a cell."""
    output = np.zeros((1, 5 + classes, rows, columns), np.float32)
    output[0, 4] = NOTHING
    return output


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    spread=st.floats(0.1, 4.0),
)
def test_boxes_are_those_of_the_reference(
    seed: int, rows: int, columns: int, spread: float
) -> None:
    output = np.random.default_rng(seed).normal(0, spread, (1, 25, rows, columns))
    inside = [
        (score, box)
        for score, box in reference.boxes(output[0].transpose(1, 2, 0))
        if max(box[:2]) < 1 and min(box[2:]) > 0
    ]
    found = read_detections([output], FACES, ["face"])
    assert [one.score for one in found] == pytest.approx([score for score, _ in inside])
    for one, (_, box) in zip(found, inside, strict=True):
        assert one.box == pytest.approx(np.clip(box, 0, 1))


def test_a_box_lies_in_its_cell_and_has_its_anchors_size() -> None:
    output = grid(4, 5)
    output[0, 4, 1, 2] = CERTAIN
    found = read_detections([output], ONE, ["face"])
    assert found == (Detection(0, "face", 1.0, pytest.approx((0.3, 0.25, 0.7, 0.5))),)  # type: ignore[arg-type]


def test_of_overlapping_boxes_the_better_stays_unless_they_are_of_two_classes() -> None:
    output = grid(4, 8, classes=2)
    output[0, 4, 0, 1:4] = 2, 3, 2  # each shares a third with the next
    detector = Detector(((2.0, 1.0),), 0.4, 0.3)
    (best,) = read_detections([output], detector, ())
    assert best.score == pytest.approx(0.476, abs=1e-3)
    output[0, 6, 0, 2] = 9
    found = read_detections([output], detector, ["cat"])
    assert [(one.index, one.label) for one in found] == [(1, "class 1"), (0, "cat"), (0, "cat")]
    assert [one.score for one in found] == pytest.approx([0.952, 0.440, 0.440], abs=1e-3)


def test_boxes_are_of_the_picture_of_which_a_part_is_seen() -> None:
    """The network saw the right half; its middle is three quarters of the picture."""
    output = grid(1, 1)
    output[0, 4] = CERTAIN
    output[0, 2:4, 0, 0] = np.log(0.25), np.log(0.5)  # a half by a half
    (found,) = read_detections([output], ONE, ["face"], seen=(0.5, 0.0, 1.0, 1.0))
    assert found.box == pytest.approx((0.625, 0.25, 0.875, 0.75))


def test_a_box_is_cut_off_at_the_edge_and_one_in_the_border_is_dropped() -> None:
    """The picture is the upper half of what is seen: rows 0 and 1 of four."""
    output = grid(4, 4)
    output[0, 4, 1, 0] = CERTAIN
    output[0, 3, 1, 0] = np.log(2)  # two cells high: half a cell into the border
    output[0, 4, 3, 3] = CERTAIN
    (found,) = read_detections([output], ONE, ["face"], seen=(0.0, 0.0, 1.0, 2.0))
    assert found.box == pytest.approx((0.0, 0.25, 0.375, 1.0))


@given(st.lists(st.floats(width=32) | st.just(float("nan")), min_size=28, max_size=28))
def test_whatever_a_network_computes_boxes_are_in_the_picture(values: list[float]) -> None:
    output = np.array(values, np.float32).reshape(1, 7, 2, 2)
    for found in read_detections([output], Detector(((1e4, 1.0),), 0.0), ()):
        left, top, right, bottom = found.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert 0 < found.score <= 1


def test_only_the_best_of_very_many_boxes_are_compared() -> None:
    output = grid(60, 60)
    output[0, 4] = np.linspace(1, 2, 3600).reshape(60, 60)
    output[0, 2:4] = -5  # so small that none overlap
    found = read_detections([output], ONE, ())
    assert len(found) == MAX_CANDIDATES
    least = output[0, 4].ravel()[-MAX_CANDIDATES]
    assert found[-1].score == pytest.approx(1 / (1 + np.exp(-least)))


def test_an_output_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"outputs are \[1, 10\]; a detector with 1 anchors reads"):
        read_detections([np.zeros((1, 10))], ONE, ())
