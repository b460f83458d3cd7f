"""Both contenders of `benchmarks/cpu.py` compute what they should."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.cpu.judge import measure
from tests.cpu.judge.contenders import (
    integer_layers,
    integer_model,
    onnx_program,
    relative_error,
    session,
)
from tests.cpu.judge.measure import How, WrongAnswerError, float_row, int8_row
from tests.cpu.judge.turns import Budget
from tests.networks import small_classifier

HOW = How("cpu", 1, time.thread_time, Budget(0.0))
"""One run each."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is compiled quickly, among those that are judged."""
    monkeypatch.setitem(measure.NETWORKS, "small", small_classifier)


def test_onnxruntime_runs_every_convolution_as_integers() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 12, 12)).astype(np.float32)
    model = integer_model(small_classifier(), x)
    assert integer_layers(model) == (2, 2)
    assert integer_layers(small_classifier()) == (0, 2)
    (result,) = onnx_program(session(model, 1), {"image": x})()
    (expected,) = onnx_program(session(small_classifier(), 1), {"image": x})()
    assert relative_error(result, expected) < 0.1


def test_a_row_says_how_long_both_took_and_how_far_they_differ() -> None:
    row = float_row("small", HOW)
    assert row["network"] == "small"
    # Times are rounded to four digits, the ratio to three behind the point.
    ratio = float(row["ours_ms"]) / float(row["onnxruntime_ms"])
    assert abs(float(row["ratio"]) - ratio) <= 0.0005 + 0.0011 * ratio
    assert float(row["error"]) < measure.LARGEST_ERROR


def test_an_int8_row_is_of_integers_on_both_sides() -> None:
    assert int8_row("small", HOW)["onnxruntime_integer_layers"] == "2/2"


def test_no_time_is_told_of_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LARGEST_ERROR", 0.0)
    with pytest.raises(WrongAnswerError, match="small: off by"):
        float_row("small", HOW)
