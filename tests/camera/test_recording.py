"""Answers as a film and as a log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lcp_tvm.answers import Guess
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.recording import INK, Film, Log, draw
from lcp_tvm.camera.result import Result
from lcp_tvm.detections import Detection
from lcp_tvm.errors import InputError

BOOT = Guess(9, "ankle-boot", 7.5, 0.97)
FACE = Detection(0, "face", 0.8, (0.25, 0.25, 0.75, 0.75))


def a_result(
    number: int = 0,
    *,
    guesses: tuple[Guess, ...] = (BOOT,),
    detections: tuple[Detection, ...] = (),
    size: tuple[int, int] = (48, 64),
) -> Result:
    """Return a grey frame's result, a tenth of a second after the one before."""
    pixels = np.full((*size, 3), 100, np.uint8)
    at_s = 50.0 + number / 10
    return Result(Frame(number, at_s, pixels), "lcp:2", guesses, detections, 4.0, at_s + 0.005)


def test_a_box_is_drawn_where_it_is_and_the_frame_stays_as_it_was() -> None:
    result = a_result(guesses=(), detections=(FACE,), size=(240, 320))
    drawn = draw(result)
    assert tuple(drawn[120, 80]) == INK  # left edge, half way down
    assert tuple(drawn[180, 160]) == INK  # lower edge
    assert tuple(drawn[120, 160]) == (100, 100, 100)
    assert (result.frame.pixels == 100).all()


def test_the_likeliest_class_is_written_at_the_top() -> None:
    changed = np.argwhere((draw(a_result(size=(240, 320))) != 100).any(axis=2))
    assert len(changed) > 100
    assert changed.max(axis=0)[0] < 30
    assert (draw(a_result(guesses=())) == 100).all()


def test_a_film_keeps_the_time_of_the_answers(tmp_path: Path) -> None:
    """Eleven answers in a second are thirty-one pictures; one of another size is fitted in."""
    cv2 = pytest.importorskip("cv2")
    with Film(tmp_path / "out.mp4") as film:
        for number in range(11):
            film.take(a_result(number, size=(96, 128) if number == 5 else (48, 64)))
    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 31
    found, picture = video.read()
    assert found
    assert picture.shape == (48, 64, 3)
    assert picture[-8:].mean() == pytest.approx(100, abs=4)
    video.release()


def test_a_film_of_nothing_is_none(tmp_path: Path) -> None:
    with Film(tmp_path / "out.mp4"):
        pass
    assert not (tmp_path / "out.mp4").exists()


def test_where_no_film_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"a film's name ends in \.mp4"):
        Film(tmp_path / "out.avi")
    with pytest.raises(InputError, match="its folder does not exist"):
        Film(tmp_path / "nowhere" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    film = Film(tmp_path / "folder.mp4")
    with pytest.raises(InputError, match=r"folder\.mp4: cannot be written"), film:
        film.take(a_result())
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="it needs OpenCV"):
        Film(tmp_path / "out.mp4")


def test_a_log_has_a_line_for_each_answer(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for number in range(2):
        with Log(path) as log:
            log.take(a_result(number, detections=(FACE,)))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["number"] for row in rows] == [0, 1]
    assert rows[0]["guesses"] == [
        {"index": 9, "label": "ankle-boot", "score": 7.5, "probability": 0.97}
    ]
    assert rows[0]["detections"][0]["box"] == [0.25, 0.25, 0.75, 0.75]
    assert rows[0]["split"] == "lcp:2"
    assert rows[0]["latency_ms"] == pytest.approx(5.0)
    assert rows[0]["time"].endswith("+00:00")


def test_where_no_log_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        Log(tmp_path)
    with Log(Path("/dev/full")) as log, pytest.raises(InputError, match="No space left"):
        log.take(a_result())
