"""What a detector's table may say, and which outputs it can be of."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.detector import Detector, class_count, detector_from, detector_from_json
from lcp_tvm.errors import InputError

ANCHORS = [[1.5, 2], [3, 4.5]]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def test_a_table_has_anchors_and_may_leave_out_the_rest() -> None:
    assert detector_from({"anchors": ANCHORS}, "x") == Detector(((1.5, 2.0), (3.0, 4.5)), 0.5, 0.4)
    full = {"anchors": ANCHORS, "score": 0.25, "overlap": 1}
    assert detector_from(full, "x") == Detector(((1.5, 2.0), (3.0, 4.5)), 0.25, 1.0)


def test_a_detector_survives_json() -> None:
    detector = Detector(((1.5, 2.0),), 0.3, 0.6)
    assert detector_from_json(json.dumps(asdict(detector)), "x") == detector


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([], "found list, expected a JSON object"),
        ({}, r"anchors must be a list of 1 to 64 \[width, height\]"),
        ({"anchors": []}, "anchors must be a list"),
        ({"anchors": "1, 2"}, "anchors must be a list"),
        ({"anchors": [[1, 1]] * 65}, "anchors must be a list"),
        ({"anchors": [[1, 2, 3]]}, r"anchor \[1, 2, 3\] must be \[width, height\]"),
        ({"anchors": [[0, 1]]}, "above 0 and at most 10000"),
        ({"anchors": [[1, float("nan")]]}, "above 0 and at most 10000"),
        ({"anchors": [[1, 1e300]]}, "above 0 and at most 10000"),
        ({"anchors": [[1, 10**400]]}, "above 0 and at most 10000"),
        ({"anchors": ANCHORS, "score": 10**400}, "not a number from 0 to 1"),
        ({"anchors": [[True, 1]]}, "above 0 and at most 10000"),
        ({"anchors": [7]}, "anchor 7 must be"),
        ({"anchors": ANCHORS, "score": 1.5}, "score is 1.5, not a number from 0 to 1"),
        ({"anchors": ANCHORS, "score": "high"}, "score is 'high', not a number"),
        ({"anchors": ANCHORS, "overlap": None}, "overlap is None, not a number"),
        ({"anchors": ANCHORS, "classes": 1}, "unknown key 'classes'; allowed are anchors, score"),
    ],
)
def test_a_wrong_table_is_refused_by_name(values: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=f"^net: {complaint}|^net: .*{complaint}"):
        detector_from(values, "net")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, '{"anchors": [[1, NaN]]}'])
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^net: "):
        detector_from_json(text, "net")


@given(JSON | st.fixed_dictionaries({"anchors": JSON, "score": JSON, "overlap": JSON}))
def test_any_json_is_a_detector_or_refused_in_one_short_line(values: Any) -> None:
    complaint = ""
    try:
        found = detector_from(values, "net")
        assert detector_from_json(json.dumps(asdict(found)), "net") == found
    except InputError as error:
        complaint = str(error)
    assert len(complaint) < 200
    assert "\n" not in complaint


@pytest.mark.parametrize(("channels", "classes"), [(10, 0), (12, 1), (50, 20)])
def test_channels_say_how_many_classes_there_are(channels: int, classes: int) -> None:
    detector = detector_from({"anchors": ANCHORS}, "x")
    assert class_count(detector, [(1, channels, 3, 4)], "x") == classes


@pytest.mark.parametrize(
    "shapes", [[(1, 8, 3, 4)], [(1, 11, 3, 4)], [(1, 10)], [], [(1, 10, 3, 4), (1, 10, 3, 4)]]
)
def test_other_outputs_are_refused(shapes: list[tuple[int, ...]]) -> None:
    detector = detector_from({"anchors": ANCHORS}, "x")
    with pytest.raises(InputError, match=r"reads one of \[1, 2 \* \(5 \+ classes\), rows, col"):
        class_count(detector, shapes, "x")
