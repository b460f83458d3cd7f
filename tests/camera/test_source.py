"""Sources by their URI, and what they give."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcp_tvm.camera.source import open_source
from lcp_tvm.camera.sources import shot
from lcp_tvm.camera.sources.shot import Ticks
from lcp_tvm.errors import InputError
from tests.example import PICTURES

LABELS = {file.stem for file in PICTURES.iterdir()}


def a_picture(path: Path, size: tuple[int, int], value: int = 200) -> Path:
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("camera:", "give the number of a camera"),
        ("camera:one", "give the number of a camera"),
        ("camera:-1", "give the number of a camera"),
        ("nothing/here", "no such file or folder; a source is one of camera:N"),
        ("synthetic:nothing/here", "no such folder of pictures"),
        ("synthetic:?size=640", "size=640 is not understood"),
        ("synthetic:?size=0x480", "size=0x480 is not understood"),
        ("synthetic:?size=9000x480", "sides are at most 4096"),
        ("synthetic:?fps=0", "fps=0 is not understood"),
        ("synthetic:?fps=9999", "frames a second 1000"),
        ("synthetic:?colour=red", "colour=red is not understood"),
    ],
)
def test_what_is_no_source(uri: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(uri)


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(InputError, match="camera:99: it cannot be opened; see whether it is there"):
        open_source("camera:99")


def test_a_stream_that_nobody_sends() -> None:
    with pytest.raises(InputError, match=r"rtsp://127\.0\.0\.1:1/live: it cannot be opened"):
        open_source("rtsp://127.0.0.1:1/live")


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"no film at all" * 100)
    with pytest.raises(InputError, match="not a video that OpenCV reads"):
        open_source(str(film))


def test_opencv_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"camera:0: it needs OpenCV; pip install"):
        open_source("camera:0")


def test_synthetic_frames_move_and_know_what_is_in_them() -> None:
    """Bundled pictures, of which each sways for two seconds."""
    source = open_source("synthetic:?fps=1000&size=64x48")
    shots = [source.read() for _ in range(40)]
    assert {shot.pixels.shape for shot in shots} == {(48, 64, 3)}
    assert {shot.pixels.dtype for shot in shots} == {np.dtype(np.uint8)}
    assert {shot.label for shot in shots} == {sorted(LABELS)[0]}


def test_synthetic_frames_take_all_pictures_in_turn_and_move(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    for name in ("a", "b"):
        Image.fromarray(ramp).convert("RGB").save(tmp_path / f"{name}.png")
    source = open_source(f"synthetic:{tmp_path}?fps=8")
    source._ticks.wait = lambda: None  # type: ignore[attr-defined]
    shots = [source.read() for _ in range(40)]
    assert [shot.label for shot in shots] == ["a"] * 16 + ["b"] * 16 + ["a"] * 8
    assert {shot.pixels.shape for shot in shots} == {(480, 960, 3)}
    assert len({shot.pixels.tobytes() for shot in shots}) > 4
    shots[0].pixels[:] = 0
    assert shots[32].pixels.any()


def test_a_folder_gives_its_pictures_over_and_over(tmp_path: Path) -> None:
    a_picture(tmp_path / "boot.png", (20, 10))
    a_picture(tmp_path / "bag.png", (4000, 1000))
    source = open_source(str(tmp_path))
    source._ticks.wait = lambda: None  # type: ignore[attr-defined]
    shots = [source.read() for _ in range(3)]
    assert [(shot.label, shot.pixels.shape) for shot in shots] == [
        ("bag", (320, 1280, 3)),
        ("boot", (10, 20, 3)),
        ("bag", (320, 1280, 3)),
    ]


def test_one_picture_is_a_source(tmp_path: Path) -> None:
    source = open_source(str(a_picture(tmp_path / "boot.png", (20, 10))))
    np.testing.assert_array_equal(source.read().pixels, np.full((10, 20, 3), (200, 0, 0)))


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in this folder"):
        open_source(str(tmp_path))


def test_a_video_is_played_over_and_over_in_its_colours(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (32, 16))
    for value in (0, 120, 240):
        film.write(np.full((16, 32, 3), (0, 0, value), np.uint8))  # OpenCV's are BGR
    film.release()
    source = open_source(str(path))
    began_s = time.monotonic()
    shots = [source.read() for _ in range(7)]
    assert time.monotonic() - began_s >= 6 / 50 - 0.01
    source.close()
    reds = [float(shot.pixels[..., 0].mean()) for shot in shots]
    assert reds == pytest.approx([0, 120, 240, 0, 120, 240, 0], abs=6)
    assert max(float(shot.pixels[..., 2].mean()) for shot in shots) < 6


class Clock:
    """Stands in for ``time``; only who sleeps, or is slow, moves its hands."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_ticks_that_were_missed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a camera that nobody read: afterwards there is no burst."""
    clock = Clock()
    monkeypatch.setattr(shot, "time", clock)
    ticks, woken_s = Ticks(50), []
    for slow_s in (0.0, 0.1, 0.0, 0.0):
        clock.now_s += slow_s
        ticks.wait()
        woken_s.append(clock.now_s)
    assert woken_s == pytest.approx([100.0, 100.1, 100.12, 100.14])
