"""A source in a thread: what happens when it goes away, comes back, or hangs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from lcp_tvm.camera import capture
from lcp_tvm.camera.capture import Capture
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.sources.shot import Shot
from lcp_tvm.errors import InputError

SOON_S = 10.0
PIXELS = np.zeros((4, 6, 3), np.uint8)


class Fake:
    """A source whose pictures the test gives.

    Attributes
    ----------
    gives : pictures, or what is wrong.
    """

    def __init__(self) -> None:
        self.gives: queue.SimpleQueue[Shot | InputError] = queue.SimpleQueue()
        self.closed = threading.Event()

    def read(self) -> Shot:
        given = self.gives.get()
        if isinstance(given, InputError):
            raise given
        return given

    def close(self) -> None:
        self.closed.set()


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(capture, "LAST_RETRY_S", 0.02)
    monkeypatch.setattr(capture, "LEAVE_S", 0.1)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_frames_are_numbered_and_timed() -> None:
    source, frames = Fake(), queue.SimpleQueue[Frame]()
    before_s = time.monotonic()
    taken = Capture("camera:0", frames.put, open_=lambda uri: source)
    source.gives.put(Shot(PIXELS, "boot"))
    source.gives.put(Shot(PIXELS))
    one, two = frames.get(timeout=SOON_S), frames.get(timeout=SOON_S)
    assert (one.number, one.label, two.number, two.label) == (0, "boot", 1, None)
    assert before_s <= one.captured_s <= two.captured_s <= time.monotonic()
    assert taken.lost == ""
    source.gives.put(Shot(PIXELS))
    taken.close()


def test_a_source_that_goes_away_is_opened_again_until_it_is_there() -> None:
    """Its frames go on counting."""
    first, second = Fake(), Fake()
    answers: list[Fake | InputError] = [first, InputError("still gone"), InputError("gone"), second]
    frames = queue.SimpleQueue[Frame]()

    def open_(uri: str) -> Fake:
        answer = answers.pop(0)
        if isinstance(answer, InputError):
            raise answer
        return answer

    taken = Capture("camera:0", frames.put, open_=open_)
    first.gives.put(Shot(PIXELS))
    assert frames.get(timeout=SOON_S).number == 0
    first.gives.put(InputError("camera:0: no pictures come from it any more"))
    until(lambda: first.closed.is_set() and taken.lost)
    until(lambda: not answers)
    assert taken.lost == "gone"
    second.gives.put(Shot(PIXELS))
    assert frames.get(timeout=SOON_S).number == 1
    until(lambda: taken.lost == "")
    taken.stop()  # else it may be opened once more
    second.gives.put(InputError("end"))
    taken.close()


def test_a_source_that_is_not_there_at_first_is_an_error() -> None:
    def open_(uri: str) -> Fake:
        raise InputError(f"{uri}: it cannot be opened")

    with pytest.raises(InputError, match="camera:7: it cannot be opened"):
        Capture("camera:7", lambda frame: None, open_=open_)


def test_a_read_that_hangs_is_told_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `close` nothing is given any more, whenever the read ends; then the source closes."""
    monkeypatch.setattr(capture, "SILENT_S", 0.02)
    source, given = Fake(), list[Frame]()
    taken = Capture("rtsp://door", given.append, open_=lambda uri: source)
    until(lambda: "rtsp://door: silent for" in taken.lost)
    taken.close()
    assert not source.closed.is_set()
    source.gives.put(Shot(PIXELS))
    assert source.closed.wait(SOON_S)
    assert given == []
